//! How a night of 10,000 cells goes on a fleet: the scheduler that `repro matrix run` uses, on a simulated clock, with daemons that
//! die and come back. `cargo bench --bench fleet` prints the table of `docs/scaling.md`.
//!
//! Cells take as long as a logarithmic normal distribution says, with a median of a minute: half of them less, one in
//! twenty more than five. A daemon dies once in so many hours on average, takes its cells with it, is noticed by the next two questions,
//! and is back after ten minutes.

#![expect(clippy::unwrap_used, reason = "a bench that panics fails, as it should")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of one night"
)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use repro::matrix::cell::{CacheState, Cell};
use repro::matrix::schedule::{Place, Schedule};

const CELLS: usize = 10_000;
/// In seconds, all of them.
const MEDIAN: f64 = 60.0;
const SPREAD: f64 = 0.98;
const PROBE: u64 = 10;
const BACK: u64 = 600;

fn main() {
    println!("{CELLS} cells, median {MEDIAN} s; each daemon builds one at a time and dies as often as said");
    println!("{:>8} {:>14} {:>10} {:>10} {:>10} {:>8}", "daemons", "dies every", "hours", "ideal", "ratio", "moved");
    for daemons in [10, 25, 50, 100, 200] {
        for hours in [0, 100, 10] {
            let night = simulate(daemons, hours);
            let dies = if hours == 0 { "never".to_owned() } else { format!("{hours} h") };
            let (took, ideal) = (night.took as f64 / 3600.0, night.work / 3600.0 / daemons as f64);
            println!("{daemons:>8} {dies:>14} {took:>10.2} {ideal:>10.2} {:>10.3} {:>8}", took / ideal, night.moved);
        }
    }
}

struct Night {
    took: u64,
    work: f64,
    moved: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Ends(usize),
    Dies(usize),
    IsBack(usize),
    Probe,
}

fn simulate(daemons: usize, hours: u64) -> Night {
    let mut random = Random(daemons as u64 * 1_000 + hours);
    let addresses: Vec<String> =
        (0..daemons).map(|number| format!("tcp://10.0.{}.{}:1234", number / 250, number % 250)).collect();
    let lengths: Vec<u64> = (0..CELLS).map(|_| (MEDIAN * (SPREAD * random.normal()).exp()).max(1.0) as u64).collect();
    let mut schedule = Schedule::new((0..CELLS).map(|number| (cell(number), number)), 1, &addresses, 1);
    let mut events: BinaryHeap<Reverse<(u64, What)>> = BinaryHeap::new();
    let mut dead = vec![false; daemons];
    let mut running: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut now, mut moved) = (0, 0);
    events.push(Reverse((0, What::Probe)));
    if hours > 0 {
        for number in 0..daemons {
            events.push(Reverse((random.wait(hours), What::Dies(number))));
        }
    }
    while !schedule.is_done() {
        let Reverse((at, what)) = events.pop().unwrap();
        now = at;
        match what {
            What::Ends(number) => {
                if running.get(&number).is_some_and(|host| !dead[*host]) {
                    running.remove(&number);
                    schedule.ended(number);
                }
            }
            What::Dies(host) => {
                dead[host] = true;
                events.push(Reverse((now + BACK, What::IsBack(host))));
            }
            What::IsBack(host) => {
                dead[host] = false;
                events.push(Reverse((now + random.wait(hours), What::Dies(host))));
            }
            What::Probe => {
                for (host, address) in addresses.iter().enumerate() {
                    if !dead[host] {
                        schedule.answered(address);
                        continue;
                    }
                    for number in schedule.silent(address) {
                        running.remove(&number);
                        let job = schedule.ended(number).unwrap();
                        schedule.moved(job, String::new());
                        moved += 1;
                    }
                }
                events.push(Reverse((now + PROBE, What::Probe)));
            }
        }
        while let Some((number, job, Place::At(address))) = schedule.start() {
            let host = addresses
                .binary_search(&address)
                .unwrap_or_else(|_| addresses.iter().position(|known| *known == address).unwrap());
            let index: usize = job.cell.image[1..].parse().unwrap();
            running.insert(number, host);
            // One that begins on a daemon that is dead by then never ends: the next question moves it.
            events.push(Reverse((now + lengths[index], What::Ends(number))));
        }
    }
    Night { took: now, work: lengths.iter().sum::<u64>() as f64, moved }
}

fn cell(number: usize) -> Cell {
    Cell {
        image: format!("i{number}"),
        platform: "linux/amd64".to_owned(),
        buildkit: "v0.19.0".to_owned(),
        runtime: "remote".to_owned(),
        rootless: false,
        cache: CacheState::Warm,
        address: None,
    }
}

/// Numbers that look random and are the same in each run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }

    /// Until something happens that happens every so many hours.
    fn wait(&mut self, hours: u64) -> u64 {
        (-(1.0 - self.next()).ln() * hours as f64 * 3600.0) as u64 + 1
    }
}
