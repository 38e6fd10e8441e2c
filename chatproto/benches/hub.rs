//! The hub without sockets: what one call costs as the crowd grows. Ids: `hub/<what>/<users>`.

use std::hint::black_box;

use chatproto::handshake::PeerKind;
use chatproto::hub::{ConnId, Hub, Now, Output};
use chatproto::{Decoder, Message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A hub with so many users, `u0` and on.
fn crowd(users: usize) -> (Hub, Output, Vec<ConnId>) {
    let (mut hub, mut out, now) = (Hub::builder().build(), Output::new(), Now::system());
    let conns = (0..users)
        .map(|number| {
            let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, &mut out);
            hub.handle_name(conn, format!("u{number}").as_bytes(), PeerKind::Stream, now, &mut out);
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
    rooms(criterion);
}

/// A message to a room, in a hub with so many more users that a cost of theirs would show.
/// Ids: `hub/room-fanout/<members>`.
fn rooms(criterion: &mut Criterion) {
    const USERS: usize = 20_000;
    let mut group = criterion.benchmark_group("hub");
    let (mut hub, mut out, conns) = crowd(USERS);
    let now = Now::system();
    let mut send = |from: ConnId, to: &str, msg: &str, out: &mut Output| {
        let bytes = Message::new("", "", to, msg).to_json().into_bytes();
        let frame = Decoder::default().decode(&mut &bytes[..]).unwrap().unwrap();
        hub.handle_message(from, &frame.message(), now, out);
    };
    for members in [10, 100, 1000, 10_000] {
        let room = format!("#r{members}");
        // spread over all the users, as they would be
        for number in 0..members {
            send(conns[number * (USERS / members)], "/join", &room, &mut out);
        }
        out.clear();
    }
    for members in [10, 100, 1000, 10_000] {
        let bytes = Message::new("", "", format!("#r{members}"), "x".repeat(64)).to_json();
        let mut input = bytes.as_bytes();
        let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
        hub.handle_message(conns[0], &frame.message(), now, &mut out);
        assert_eq!(out.actions().count(), members - 1);
        group.throughput(Throughput::Elements(members as u64 - 1));
        group.bench_function(BenchmarkId::new("room-fanout", members), |b| {
            b.iter(|| {
                out.clear();
                hub.handle_message(conns[0], &black_box(&frame).message(), now, &mut out);
                black_box(&out);
            });
        });
        out.clear();
    }
    group.finish();
}

criterion_group!(benches, hub);
criterion_main!(benches);
