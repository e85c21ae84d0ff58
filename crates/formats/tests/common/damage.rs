//! Files damaged at random, and how much memory they cost.

/// The most memory this process has held so far, in bytes; none where the system does not tell.
fn most_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().unwrap() * 1024)
}

pub fn check_memory() {
    match most_memory() {
        Some(bytes) => assert!(bytes < 256 << 20, "{bytes} bytes were held"),
        None => eprintln!("skipped: this system does not tell how much memory was held"),
    }
}

/// Numbers that look random: splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// One to four small injuries; returns the first byte touched.
pub fn injure(bytes: &mut Vec<u8>, random: &mut Random) -> usize {
    let mut first = bytes.len();
    for _ in 0..=random.below(4) {
        let n = bytes.len();
        // Half of them in the first bytes, where the headers are.
        let at = if random.below(2) == 0 { random.below(n.min(400)) } else { random.below(n) };
        let to = (at + 1 + random.below(16)).min(n);
        first = first.min(at);
        match random.below(7) {
            0 if at < n => bytes[at] ^= 1 << random.below(8),
            1 if at < n => bytes[at] = random.below(256) as u8,
            2 if at < n => bytes[at] = b"0123456789-. \n"[random.below(14)],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..to)),
            5 => bytes.splice(at..at, (0..to - at).map(|_| random.below(256) as u8)).for_each(drop),
            _ => bytes.extend_from_within(at..to),
        }
    }
    first
}
