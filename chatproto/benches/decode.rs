//! Decoding one message: from a frame's bytes to its four strings.
//!
//! Ours finds the frame's end and applies every check of B3 meanwhile; the others are given the
//! frame alone. Ids: `decode/<who>/<case>`.

mod common;

use std::hint::black_box;

use chatproto::{Decoder, Message};
use common::{Borrowed, Case, cases};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn chatproto_decode<R>(frame: &[u8], read: impl FnOnce(chatproto::MessageRef<'_>) -> R) -> R {
    let mut input = frame;
    let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
    read(frame.message())
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for Case { name, message, frame } in cases() {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        let frame = &frame[..];
        // every candidate gives the same message
        let simd_json = |bytes: &mut [u8]| simd_json::from_slice::<Message>(bytes).unwrap();
        assert_eq!(chatproto_decode(frame, |m| m.to_owned()), message);
        assert_eq!(sonic_rs::from_slice::<Message>(frame).unwrap(), message);
        assert_eq!(sonic_rs::from_slice::<Borrowed<'_>>(frame).unwrap().to_message(), message);
        assert_eq!(serde_json::from_slice::<Message>(frame).unwrap(), message);
        assert_eq!(serde_json::from_slice::<Borrowed<'_>>(frame).unwrap().to_message(), message);
        assert_eq!(simd_json(&mut frame.to_vec()), message);

        group.bench_with_input(BenchmarkId::new("chatproto", name), frame, |b, frame| {
            b.iter(|| {
                chatproto_decode(black_box(frame), |m| {
                    black_box((m.name.to_str(), m.ip.to_str(), m.to.to_str(), m.msg.to_str()));
                });
            });
        });
        group.bench_with_input(BenchmarkId::new("sonic-rs", name), frame, |b, frame| {
            b.iter(|| sonic_rs::from_slice::<Message>(black_box(frame)));
        });
        group.bench_with_input(BenchmarkId::new("sonic-rs-borrowed", name), frame, |b, frame| {
            b.iter(|| {
                black_box(sonic_rs::from_slice::<Borrowed<'_>>(black_box(frame)).unwrap());
            });
        });
        group.bench_with_input(BenchmarkId::new("serde_json", name), frame, |b, frame| {
            b.iter(|| serde_json::from_slice::<Message>(black_box(frame)));
        });
        group.bench_with_input(BenchmarkId::new("serde_json-borrowed", name), frame, |b, frame| {
            b.iter(|| {
                black_box(serde_json::from_slice::<Borrowed<'_>>(black_box(frame)).unwrap());
            });
        });
        // it parses in place, so that each run needs a copy of its own
        group.bench_with_input(BenchmarkId::new("simd-json", name), frame, |b, frame| {
            let mut copy = frame.to_vec();
            b.iter(|| {
                copy.copy_from_slice(black_box(frame));
                simd_json(&mut copy)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
