//! Puts load on an HTTP/1.1 server over kept connections, and prints what came of it as JSON.
//!
//! `load ADDRESS CONNECTIONS REQUESTS RATE EXPECTED [HEADER…]`: with a rate of 0 each connection
//! sends as soon as it has its answer; otherwise requests are sent at fixed moments, and latency
//! counts from the moment at which a request was due, so that a slow answer is not hidden by the
//! requests that had to wait for it. Answers without the text EXPECTED in their heads are counted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(io::Error::other("an argument is missing"));
    let address = next()?;
    let connections: usize = next()?.parse().map_err(io::Error::other)?;
    let requests: usize = next()?.parse().map_err(io::Error::other)?;
    let rate: f64 = next()?.parse().map_err(io::Error::other)?;
    let expected = next()?;
    let mut request = next()?;
    request.push_str(" HTTP/1.1\r\nhost: bench.example\r\n");
    for header in arguments {
        request.push_str(&header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");

    let start = Instant::now() + Duration::from_millis(5);
    let workers: Vec<_> = (0..connections)
        .map(|number| {
            let (address, request, expected) = (address.clone(), request.clone(), expected.clone());
            let share = requests / connections;
            let pace = (rate > 0.0).then(|| Pace {
                first: start + Duration::from_secs_f64(number as f64 / rate),
                interval: Duration::from_secs_f64(connections as f64 / rate),
            });
            thread::spawn(move || run(&address, request.as_bytes(), expected.as_bytes(), share, pace))
        })
        .collect();
    let mut latencies = Vec::with_capacity(requests);
    let mut unexpected = 0;
    for worker in workers {
        let (of_worker, wrong) = worker.join().map_err(|_| io::Error::other("a worker ended"))??;
        latencies.extend(of_worker);
        unexpected += wrong;
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64)
    };
    println!(
        "{{\"requests\": {}, \"unexpected\": {unexpected}, \"seconds\": {seconds}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}}}",
        latencies.len(),
        at(0.5) * 1e6,
        at(0.99) * 1e6,
    );
    Ok(())
}

/// When the requests of a connection are due.
struct Pace {
    first: Instant,
    interval: Duration,
}

fn run(
    address: &str,
    request: &[u8],
    expected: &[u8],
    requests: usize,
    pace: Option<Pace>,
) -> io::Result<(Vec<Duration>, usize)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut latencies = Vec::with_capacity(requests);
    let mut unexpected = 0;
    let mut buffer = Vec::new();
    for number in 0..requests {
        let mut due = Instant::now();
        if let Some(pace) = &pace {
            let at = pace.first + pace.interval * u32::try_from(number).unwrap_or(u32::MAX);
            thread::sleep(at.saturating_duration_since(due));
            due = at;
        }
        stream.write_all(request)?;
        if !answer(&mut stream, &mut buffer, expected)? {
            unexpected += 1;
        }
        latencies.push(due.elapsed());
    }
    Ok((latencies, unexpected))
}

/// Reads an answer with a `content-length`; tells whether its head has the expected text in it.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, expected: &[u8]) -> io::Result<bool> {
    buffer.clear();
    let mut chunk = [0; 4096];
    loop {
        let size = stream.read(&mut chunk)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&chunk[..size]);
        let Some(head) = find(buffer, b"\r\n\r\n") else { continue };
        let length = find(buffer, b"content-length: ")
            .and_then(|at| buffer[at + 16..].split(|byte| *byte == b'\r').next())
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        if buffer.len() >= head + 4 + length {
            return Ok(expected.is_empty() || find(&buffer[..head], expected).is_some());
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
