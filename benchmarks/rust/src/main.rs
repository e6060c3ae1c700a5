//! The in-process yardstick: one publisher thread, n subscriber tasks, one address space.
//!
//! `yardstick broadcast|arcly-stream SIZE SUBSCRIBERS SECONDS WINDOW` prints one JSON object. The job is that of
//! the other benchmarks: each frame copied from a source that carries its number, each subscriber reads a word of
//! every 64 bytes and checks the number, the publisher waits while the slowest is `WINDOW` frames behind. A frame
//! that is missing ends the program with an error.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arcly_stream::prelude::*;
use bytes::Bytes;
use tokio::sync::broadcast;

const LAST: u64 = 1 << 63;

struct Progress {
    received: Vec<AtomicU64>,
    target: AtomicU64,
    publisher: Thread,
}

impl Progress {
    fn slowest(&self) -> u64 {
        self.received.iter().map(|n| n.load(SeqCst)).min().unwrap_or(u64::MAX)
    }

    /// A subscriber has so many; the publisher goes on once all have what it waits for.
    fn note(&self, index: usize, received: u64) {
        self.received[index].store(received, SeqCst);
        let target = self.target.load(SeqCst);
        if received >= target && self.slowest() >= target {
            self.publisher.unpark();
        }
    }

    fn wait_until_slowest_has(&self, target: u64) {
        self.target.store(target, SeqCst);
        while self.slowest() < target {
            thread::park_timeout(Duration::from_millis(2));
        }
        self.target.store(u64::MAX, SeqCst);
    }
}

fn touch(frame: &[u8]) -> u64 {
    frame
        .chunks(64)
        .filter_map(|line| line.get(..8))
        .fold(0, |sum, word| sum.wrapping_add(u64::from_ne_bytes(word.try_into().unwrap())))
}

/// True while more frames are to come.
fn check(frame: &[u8], index: usize, expected: &mut u64, stride: u64, progress: &Progress) -> bool {
    std::hint::black_box(touch(frame));
    let number = u64::from_ne_bytes(frame[..8].try_into().unwrap());
    assert_eq!(number & !LAST, *expected, "a frame is missing");
    *expected += 1;
    if number & LAST != 0 || *expected % stride == 0 {
        progress.note(index, *expected);
    }
    number & LAST == 0
}

/// Publishes until the time is up; returns how many frames after the warm-up, and when that ended.
fn publish(size: usize, window: u64, time: Duration, progress: &Progress, send: impl Fn(Bytes)) -> (u64, Instant) {
    let stride = (window / 8).max(1);
    let warmup = 2 * window / stride * stride;
    let mut source = vec![0x5a_u8; size];
    let (mut seq, mut limit, mut begun) = (0_u64, window, None);
    loop {
        if seq == warmup {
            progress.wait_until_slowest_has(warmup);
            begun = Some(Instant::now());
        }
        if seq >= limit {
            limit = progress.slowest().saturating_add(window);
            if seq >= limit {
                progress.wait_until_slowest_has((seq - window / 2) / stride * stride);
                continue;
            }
        }
        let over = begun.is_some_and(|begun: Instant| seq % stride == 0 && begun.elapsed() >= time);
        let number = if over { seq | LAST } else { seq };
        source[..8].copy_from_slice(&number.to_ne_bytes());
        send(Bytes::copy_from_slice(&source));
        seq += 1;
        if over {
            return (seq - warmup, begun.unwrap());
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let size: usize = words[2].parse().expect("SIZE");
    let subscribers: usize = words[3].parse().expect("SUBSCRIBERS");
    let time = Duration::from_secs_f64(words[4].parse().expect("SECONDS"));
    let window: u64 = words[5].parse().expect("WINDOW");
    let stride = (window / 8).max(1);
    let progress = Arc::new(Progress {
        received: (0..subscribers).map(|_| AtomicU64::new(0)).collect(),
        target: AtomicU64::new(u64::MAX),
        publisher: thread::current(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let capacity = (2 * window) as usize;
    let (frames, begun) = match words[1].as_str() {
        "broadcast" => {
            let (sender, _) = broadcast::channel::<Bytes>(capacity);
            let tasks: Vec<_> = (0..subscribers)
                .map(|index| {
                    let (mut receiver, progress, mut expected) = (sender.subscribe(), progress.clone(), 0);
                    runtime.spawn(async move {
                        while check(&receiver.recv().await.expect("lagged"), index, &mut expected, stride, &progress) {}
                    })
                })
                .collect();
            let done = publish(size, window, time, &progress, |frame| drop(sender.send(frame)));
            runtime.block_on(async { for task in tasks { task.await.expect("subscriber") } });
            done
        }
        "arcly-stream" => {
            let engine = Engine::builder().application(AppSpec::new("live").broadcast_capacity(capacity)).build();
            let stream = runtime.block_on(engine.start_publish(&StreamKey::new("live", "bench"))).expect("stream");
            let tasks: Vec<_> = (0..subscribers)
                .map(|index| {
                    let (mut receiver, progress, mut expected) = (stream.subscribe_resilient(), progress.clone(), 0);
                    runtime.spawn(async move {
                        while check(&receiver.recv().await.expect("ended").data, index, &mut expected, stride, &progress) {}
                        assert_eq!(receiver.dropped(), 0);
                    })
                })
                .collect();
            let done = publish(size, window, time, &progress, |frame| {
                let frame = MediaFrame::new_video(0, 0, frame, CodecId::Raw, false);
                stream.publish_frame(frame).expect("publish");
            });
            runtime.block_on(async { for task in tasks { task.await.expect("subscriber") } });
            done
        }
        other => panic!("no such channel: {other}"),
    };
    println!("{{\"frames\": {frames}, \"seconds\": {}}}", begun.elapsed().as_secs_f64());
}
