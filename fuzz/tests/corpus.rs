//! The corpora, and seeded mutations of them, through the fuzz targets' invariants.

use std::path::Path;

/// Mutations of each corpus file: enough to meet every length field, few enough for every test run.
const MUTATIONS: u64 = 300;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus folder exists")
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("readable"),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Flips bits, writes extreme values, cuts and doubles.
fn mutate(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    const EXTREMES: [&[u8]; 5] = [
        &[0],
        &[0xff],
        &[0xff; 4],
        &[0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0x7f],
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random(state) % 4 {
        if bytes.is_empty() {
            break;
        }
        let at = random(state) as usize % bytes.len();
        match random(state) % 5 {
            0 => bytes[at] ^= 1 << (random(state) % 8),
            1 => bytes.truncate(at),
            2 => {
                let value = EXTREMES[random(state) as usize % EXTREMES.len()];
                for (slot, byte) in bytes[at..].iter_mut().zip(value) {
                    *slot = *byte;
                }
            }
            3 => bytes[at] = random(state) as u8,
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend(&tail[..tail.len().min(200)]);
            }
        }
    }
    bytes
}

fn replay(target: &str, run: fn(&[u8])) {
    for (name, bytes) in corpus(target) {
        run(&bytes);
        let mut state = name
            .bytes()
            .rev()
            .take(20)
            .fold(0x9e37_79b9_7f4a_7c15, |h: u64, b| h.rotate_left(5) ^ u64::from(b))
            | 1;
        for _ in 0..MUTATIONS {
            run(&mutate(&bytes, &mut state));
        }
    }
}

#[test]
fn captures() {
    replay("capture", fuzz::capture);
}

#[test]
fn packets() {
    replay("packet", fuzz::packet);
}

#[test]
fn atlases() {
    replay("atlas", fuzz::atlas);
}

#[test]
fn exports() {
    replay("exports", fuzz::exports);
}

#[test]
fn messages() {
    replay("messages", fuzz::messages);
}

#[test]
fn states() {
    replay("state", fuzz::state);
}

#[test]
fn access_logs() {
    replay("access", fuzz::access);
}
