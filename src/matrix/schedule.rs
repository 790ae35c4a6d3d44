//! Which cell is built next, and where: a machine of states that knows no clock and no process.
//!
//! Cells of this machine share its places. Cells for the fleet go to the BuildKit that has the fewest of them; one that does not
//! answer is drained, its cells wait for another one, and it gets cells again when it answers. So a fleet that is slow holds the
//! cells back in the queue, where they cost nothing.
//!
//! Builds of one second read one time, and agree on what has it in it. So one cell of a group, whose cells are held against each
//! other, is built before the others, which begin when the driver says that it lies behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cell::Cell;

/// A cell that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The cell.
    pub cell: Cell,
    /// Why earlier tries ended without a result.
    pub tries: Vec<String>,
    /// How many of these ended because the daemon fell away.
    pub moves: usize,
    /// Which group it is of.
    pub group: usize,
}

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// No cell of it was built yet.
    Open,
    /// Its first cell is being built, or has ended just now.
    First,
    /// Its first cell lies behind: the others begin as they find a place.
    All,
}

#[derive(Debug)]
struct Group {
    cells: usize,
    turn: Turn,
}

/// Where a cell is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Here,
    /// On a BuildKit that others run.
    At(String),
}

/// What is known of a BuildKit that others run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nobody has asked it yet.
    Unknown,
    /// It answered.
    Up,
    /// It did not answer this often in a row.
    Down(u32),
}

#[derive(Debug)]
struct Host {
    health: Health,
    running: usize,
    /// Whether it ever answered.
    known: bool,
    /// Whether it is one of the fleet, which takes any cell.
    shared: bool,
}

/// How often a daemon may not answer before it is given up.
const GIVEN_UP: u32 = 6;

/// The same for one that never did: it hardly starts to.
const NEVER_THERE: u32 = 2;

/// Cells that wait and cells that run.
#[derive(Debug)]
pub struct Schedule {
    waiting: VecDeque<Job>,
    running: BTreeMap<usize, (Job, Place)>,
    groups: Vec<Group>,
    hosts: BTreeMap<String, Host>,
    here: usize,
    at_a_time: usize,
    next: usize,
}

impl Schedule {
    /// Cells in the order in which they are to be built, each with the name of its group, the places of this machine, and the
    /// fleet with the places of each.
    pub fn new<G: Ord>(
        cells: impl IntoIterator<Item = (Cell, G)>,
        here: usize,
        fleet: &[String],
        at_a_time: usize,
    ) -> Self {
        let mut names: BTreeMap<G, usize> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let job = |(cell, name)| {
            let group = *names.entry(name).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Group { cells: 0, turn: Turn::Open });
            }
            groups[group].cells += 1;
            Job { cell, tries: Vec::new(), moves: 0, group }
        };
        let waiting: VecDeque<Job> = cells.into_iter().map(job).collect();
        let mut hosts = BTreeMap::new();
        for (address, shared) in waiting
            .iter()
            .filter_map(|job| job.cell.address.as_ref())
            .map(|address| (address, false))
            .chain(fleet.iter().map(|address| (address, true)))
        {
            hosts.insert(address.clone(), Host { health: Health::Unknown, running: 0, known: false, shared });
        }
        Self { waiting, running: BTreeMap::new(), groups, hosts, here, at_a_time, next: 0 }
    }

    /// Whether any cell is for a BuildKit that others run.
    #[must_use]
    pub fn has_remote(&self) -> bool {
        let is_remote = |job: &Job| job.cell.runtime == "remote";
        self.waiting.iter().any(is_remote) || self.running.values().any(|(job, _)| is_remote(job))
    }

    /// Whether everything has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// How many cells wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The daemons that are to be asked whether they are there.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    /// Takes the next cell that has a place, and says which number it runs under.
    pub fn start(&mut self) -> Option<(usize, Job, Place)> {
        let busy: BTreeSet<_> = self.running.values().filter_map(|(job, _)| job.cell.exclusive()).collect();
        let here = self.here > self.running.values().filter(|(_, place)| *place == Place::Here).count();
        // The same for all cells that may go anywhere: a queue of thousands is looked through with no more than a glance at each.
        let shared = self.host_for(|_, host| host.shared);
        let found = self.waiting.iter().enumerate().find_map(|(at, job)| {
            if self.groups[job.group].turn == Turn::First {
                return None;
            }
            let cell = &job.cell;
            let place = match (&cell.address, cell.runtime.as_str()) {
                (Some(wanted), "remote") => Place::At(self.host_for(|address, _| address == wanted)?),
                (None, "remote") => Place::At(shared.clone()?),
                _ if here => Place::Here,
                _ => return None,
            };
            let is_free = cell.exclusive().is_none_or(|key| !busy.contains(&key));
            is_free.then_some((at, place))
        });
        let (at, place) = found?;
        let job = self.waiting.remove(at)?;
        if let Place::At(address) = &place
            && let Some(host) = self.hosts.get_mut(address)
        {
            host.running += 1;
        }
        let group = &mut self.groups[job.group];
        if group.turn == Turn::Open && group.cells > 1 {
            group.turn = Turn::First;
        }
        let number = self.next;
        self.next += 1;
        self.running.insert(number, (job.clone(), place.clone()));
        Some((number, job, place))
    }

    /// Of these daemons the one that answers, has room, and has the fewest cells.
    fn host_for(&self, takes: impl Fn(&str, &Host) -> bool) -> Option<String> {
        let free = self.hosts.iter().filter(|(address, host)| {
            host.health == Health::Up && host.running < self.at_a_time && takes(address, host)
        });
        free.min_by_key(|(_, host)| host.running).map(|(address, _)| address.clone())
    }

    /// Where a cell runs.
    #[must_use]
    pub fn place(&self, number: usize) -> Option<Place> {
        self.running.get(&number).map(|(_, place)| place.clone())
    }

    /// A cell has ended. Gives it back.
    pub fn ended(&mut self, number: usize) -> Option<Job> {
        let (job, place) = self.running.remove(&number)?;
        if let Place::At(address) = place
            && let Some(host) = self.hosts.get_mut(&address)
        {
            host.running = host.running.saturating_sub(1);
        }
        let group = &mut self.groups[job.group];
        if group.turn == Turn::First {
            group.turn = Turn::Open;
        }
        Some(job)
    }

    /// A cell that has ended was built. Whether the others of its group wait for [`Self::lies_behind`].
    pub fn built(&mut self, job: &Job) -> bool {
        let group = &mut self.groups[job.group];
        let is_first = group.turn == Turn::Open && group.cells > 1;
        if is_first {
            group.turn = Turn::First;
        }
        is_first
    }

    /// What begins now reads another time than the first cell of this group did.
    pub fn lies_behind(&mut self, group: usize) {
        if let Some(group) = self.groups.get_mut(group) {
            group.turn = Turn::All;
        }
    }

    /// A cell has ended without a result and is tried again, after all that wait.
    pub fn again(&mut self, mut job: Job, why: String) {
        job.tries.push(why);
        self.waiting.push_back(job);
    }

    /// The same for one that its daemon left alone: it is the next, and it is not its fault.
    pub fn moved(&mut self, mut job: Job, why: String) {
        job.tries.push(why);
        job.moves += 1;
        self.waiting.push_front(job);
    }

    /// A daemon answered.
    pub fn answered(&mut self, address: &str) -> bool {
        let Some(host) = self.hosts.get_mut(address) else { return false };
        host.known = true;
        std::mem::replace(&mut host.health, Health::Up) != Health::Up
    }

    /// A cell failed in a way that may be its daemon's fault: that one gets no further cells until it answers.
    pub fn suspect(&mut self, address: &str) {
        if let Some(host) = self.hosts.get_mut(address)
            && host.health == Health::Up
        {
            host.health = Health::Unknown;
        }
    }

    /// A daemon did not answer: the cells that run there, which have to be stopped. Those come to an end as all others do.
    pub fn silent(&mut self, address: &str) -> Vec<usize> {
        let Some(host) = self.hosts.get_mut(address) else { return Vec::new() };
        host.health = match host.health {
            Health::Down(times) => Health::Down(times.saturating_add(1)),
            Health::Unknown | Health::Up => Health::Down(1),
        };
        let here = Place::At(address.to_owned());
        self.running.iter().filter(|(_, (_, place))| *place == here).map(|(number, _)| *number).collect()
    }

    /// Whether a daemon is given cells.
    #[must_use]
    pub fn is_up(&self, address: &str) -> bool {
        self.hosts.get(address).is_some_and(|host| host.health == Health::Up)
    }

    /// Cells that no daemon will ever build, because all that could were given up.
    pub fn hopeless(&mut self) -> Vec<Job> {
        let given_up = |host: &Host| {
            let limit = if host.known { GIVEN_UP } else { NEVER_THERE };
            matches!(host.health, Health::Down(times) if times >= limit)
        };
        let hosts = &self.hosts;
        let is_hopeless = |job: &Job| {
            job.cell.runtime == "remote"
                && match &job.cell.address {
                    Some(address) => hosts.get(address).is_none_or(given_up),
                    None => hosts.values().filter(|host| host.shared).all(given_up),
                }
        };
        let (gone, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|job| is_hopeless(job));
        self.waiting = waiting;
        gone.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::cell::CacheState;

    fn started(schedule: &mut Schedule) -> Vec<(usize, String, Place)> {
        std::iter::from_fn(|| schedule.start()).map(|(number, job, place)| (number, job.cell.image, place)).collect()
    }

    /// Each cell is a group.
    fn each(cells: impl IntoIterator<Item = Cell>) -> impl Iterator<Item = (Cell, usize)> {
        cells.into_iter().zip(0..)
    }

    #[test]
    fn the_first_of_a_group_is_built_by_itself() {
        let cell = |image: &str| Cell::usual(image, "docker", CacheState::Cold);
        let cells = ["a", "a", "a", "b", "c"].map(|image| (cell(image), image));
        let mut schedule = Schedule::new(cells, 9, &[], 1);
        let names = |schedule: &mut Schedule| started(schedule).into_iter().map(|one| one.1).collect::<Vec<_>>();
        assert_eq!(names(&mut schedule), ["a", "b", "c"]);
        // One that was not built is nothing to hold others against.
        let failed = schedule.ended(0).unwrap();
        assert_eq!(names(&mut schedule), ["a"]);
        schedule.again(failed, "no network".to_owned());
        let first = schedule.ended(3).unwrap();
        assert!(schedule.built(&first));
        assert!(names(&mut schedule).is_empty(), "it ended just now");
        schedule.lies_behind(first.group);
        assert_eq!(names(&mut schedule), ["a", "a"]);
        for number in [1, 2, 4, 5] {
            let job = schedule.ended(number).unwrap();
            assert!(!schedule.built(&job), "nobody waits for {number}");
        }
        assert!(schedule.is_done());
    }

    #[test]
    fn a_machine_has_places_and_a_state_has_one_build() {
        let cells = [
            Cell::usual("a", "podman", CacheState::Warm),
            Cell::usual("b", "podman", CacheState::Warm),
            Cell::usual("c", "docker", CacheState::Cold),
            Cell::usual("d", "docker", CacheState::Cold),
        ];
        let mut schedule = Schedule::new(each(cells), 2, &[], 1);
        let names = |started: Vec<(usize, String, Place)>| started.into_iter().map(|one| one.1).collect::<Vec<_>>();
        assert_eq!(names(started(&mut schedule)), ["a", "c"], "b waits for the state that a has");
        assert_eq!(schedule.ended(1).unwrap().cell.image, "c");
        assert_eq!(names(started(&mut schedule)), ["d"]);
        schedule.ended(0);
        assert_eq!(names(started(&mut schedule)), ["b"]);
        schedule.ended(2);
        schedule.ended(3);
        assert!(schedule.is_done());
    }

    #[test]
    fn cells_go_where_the_fewest_are_and_leave_what_is_silent() {
        let fleet = ["tcp://a:1".to_owned(), "tcp://b:1".to_owned()];
        let cells: Vec<Cell> = (0..5).map(|n| Cell::usual(&format!("i{n}"), "remote", CacheState::Warm)).collect();
        let mut schedule = Schedule::new(each(cells), 2, &fleet, 2);
        assert!(started(&mut schedule).is_empty(), "nothing is built on what did not answer yet");
        assert!(schedule.answered(&fleet[0]) && schedule.answered(&fleet[1]) && !schedule.answered(&fleet[1]));
        let places: Vec<Place> = started(&mut schedule).into_iter().map(|one| one.2).collect();
        let at = |n: usize| Place::At(fleet[n].clone());
        assert_eq!(places, [at(0), at(1), at(0), at(1)], "and the fifth waits");
        let stopped = schedule.silent(&fleet[0]);
        assert_eq!(stopped, [0, 2]);
        for number in stopped {
            let job = schedule.ended(number).unwrap();
            schedule.moved(job, "gone".to_owned());
        }
        assert!(started(&mut schedule).is_empty(), "b is full, and a is silent");
        schedule.ended(1);
        let next = started(&mut schedule);
        assert_eq!((next[0].1.as_str(), &next[0].2), ("i2", &at(1)), "what was moved comes first");
        for _ in 1..GIVEN_UP {
            assert!(schedule.hopeless().is_empty());
            schedule.silent(&fleet[0]);
        }
        assert!(schedule.hopeless().is_empty(), "b is still there");
        for _ in 0..GIVEN_UP {
            schedule.silent(&fleet[1]);
        }
        let gone: Vec<String> = schedule.hopeless().into_iter().map(|job| job.cell.image).collect();
        assert_eq!(gone, ["i0", "i4"]);
        assert_eq!(schedule.waiting(), 0);
    }

    #[test]
    fn a_cell_with_an_address_goes_nowhere_else() {
        let mut one = Cell::usual("a", "remote", CacheState::Warm);
        one.address = Some("tcp://c:1".to_owned());
        let fleet = ["tcp://a:1".to_owned()];
        let mut schedule = Schedule::new(each([one, Cell::usual("b", "remote", CacheState::Warm)]), 1, &fleet, 1);
        assert_eq!(schedule.hosts(), ["tcp://a:1", "tcp://c:1"]);
        schedule.answered("tcp://c:1");
        let first = started(&mut schedule);
        assert_eq!(first.len(), 1, "b is not for c");
        assert_eq!(first[0].2, Place::At("tcp://c:1".to_owned()));
    }
}
