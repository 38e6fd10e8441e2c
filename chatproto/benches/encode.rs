//! Encoding one message into a buffer that is used again. Ids: `encode/<who>/<case>`.

mod common;

use std::hint::black_box;

use common::{Case, cases};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for Case { name, message, .. } in cases() {
        let compact = message.to_json();
        group.throughput(Throughput::Bytes(compact.len() as u64));
        // every candidate writes the same bytes
        assert_eq!(sonic_rs::to_string(&message).unwrap(), compact);
        assert_eq!(serde_json::to_string(&message).unwrap(), compact);
        assert_eq!(simd_json::to_string(&message).unwrap(), compact);

        let mut buffer = Vec::with_capacity(64 * 1024);
        group.bench_with_input(BenchmarkId::new("chatproto", name), &message, |b, message| {
            b.iter(|| {
                buffer.clear();
                let m = black_box(message);
                chatproto::encode::compact(&mut buffer, &m.from.name, &m.from.ip, &m.to, &m.msg);
                black_box(&buffer);
            });
        });
        group.bench_with_input(BenchmarkId::new("sonic-rs", name), &message, |b, message| {
            b.iter(|| {
                buffer.clear();
                sonic_rs::to_writer(&mut buffer, black_box(message)).unwrap();
                black_box(&buffer);
            });
        });
        group.bench_with_input(BenchmarkId::new("serde_json", name), &message, |b, message| {
            b.iter(|| {
                buffer.clear();
                serde_json::to_writer(&mut buffer, black_box(message)).unwrap();
                black_box(&buffer);
            });
        });
        group.bench_with_input(BenchmarkId::new("simd-json", name), &message, |b, message| {
            b.iter(|| {
                buffer.clear();
                simd_json::to_writer(&mut buffer, black_box(message)).unwrap();
                black_box(&buffer);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
