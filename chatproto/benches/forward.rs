//! Forwarding one message: decode it, put the server's stamp before it, splice the validated
//! tokens behind. Beside it the same by decoding and encoding anew, and our decoding alone.
//! Ids: `forward/<who>/<case>`.

mod common;

use std::hint::black_box;

use chatproto::{Decoder, Message, encode};
use common::{Borrowed, Case, cases};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    let mut stamp = Vec::new();
    encode::stamp(&mut stamp, "alice", "198.51.100.4");
    for Case { name, message, frame } in cases() {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        let spliced = |frame: &[u8], out: &mut Vec<u8>| {
            let mut input = frame;
            let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
            let message = frame.message();
            encode::splice(out, &stamp, message.to.raw(), message.msg.raw());
        };
        let anew = |frame: &[u8], out: &mut Vec<u8>| {
            let mut message: Borrowed<'_> = sonic_rs::from_slice(frame).unwrap();
            message.from.ip = "198.51.100.4".into();
            sonic_rs::to_writer(out, &message).unwrap();
        };
        for how in [&spliced as &dyn Fn(&[u8], &mut Vec<u8>), &anew] {
            let mut out = Vec::new();
            how(&frame, &mut out);
            let expected = Message::new("alice", "198.51.100.4", &message.to, &message.msg);
            assert_eq!(Message::decode(&out).unwrap(), expected);
        }

        let mut buffer = Vec::with_capacity(64 * 1024);
        group.bench_with_input(BenchmarkId::new("chatproto", name), &frame, |b, frame| {
            b.iter(|| {
                buffer.clear();
                spliced(black_box(frame), &mut buffer);
                black_box(&buffer);
            });
        });
        group.bench_with_input(BenchmarkId::new("decode-alone", name), &frame, |b, frame| {
            b.iter(|| {
                let mut input = black_box(&frame[..]);
                black_box(Decoder::default().decode(&mut input).unwrap());
            });
        });
        group.bench_with_input(BenchmarkId::new("sonic-rs-borrowed", name), &frame, |b, frame| {
            b.iter(|| {
                buffer.clear();
                anew(black_box(frame), &mut buffer);
                black_box(&buffer);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
