//! The hub without sockets: what one call costs as the crowd grows. Ids: `hub/<what>/<users>`.

use std::hint::black_box;

use chatproto::{Completion, ConnId, Decoder, Effect, Hub, Message, Now, Output, PeerKind};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A hub with so many users, `u0` and on.
fn crowd(users: usize) -> (Hub, Output, Vec<ConnId>) {
    let (mut hub, mut out, now) = (Hub::builder().build(), Output::new(), Now::system());
    let conns = (0..users)
        .map(|number| {
            let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, &mut out);
            hub.handle_name(conn, format!("u{number}").as_bytes(), PeerKind::Stream, now, &mut out);
            while let Some(Effect::Claim { token, .. }) = out.next_effect() {
                hub.handle_completion(token, Completion::Claimed, now, &mut out);
            }
            out.clear();
            conn
        })
        .collect();
    out.take_events();
    (hub, out, conns)
}

fn hub(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub");
    let text = "x".repeat(64);
    for users in [10, 100, 1000, 10_000] {
        let (mut hub, mut out, conns) = crowd(users);
        let now = Now::system();
        let mut bench = |what: &str, to: &str, deliveries: usize| {
            let bytes = Message::new("u0", "", to, &text).to_json().into_bytes();
            let mut input = &bytes[..];
            let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
            group.throughput(Throughput::Elements(deliveries as u64));
            group.bench_function(BenchmarkId::new(what, users), |b| {
                b.iter(|| {
                    out.clear();
                    hub.handle_message(conns[0], &black_box(&frame).message(), now, &mut out);
                    black_box(&out);
                });
            });
        };
        bench("direct", &format!("u{}", users / 2), 1);
        bench("shout", "/shout", users - 1);
        bench("list", "/list", 1);
        bench("not-found", "Everyone", 1);
    }
    group.finish();
}

criterion_group!(benches, hub);
criterion_main!(benches);
