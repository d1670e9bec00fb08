//! The switch store of a simulated world: a primary, one replica, and every way to lose a key. Must never
//! answer a command otherwise than a real server would.
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub type Command = Vec<Vec<u8>>;
type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a check of the flags was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub customer: Option<String>,
    /// A flag of these scopes exists, whatever its value.
    pub flagged: bool,
    /// The armed epoch, when no flag exists.
    pub clear: Option<u64>,
}

/// What one pipeline did besides its answer.
#[derive(Debug, Default)]
pub struct Done {
    pub checked: Option<Checked>,
    pub wrote: bool,
    /// A press set its counter, or a cap its flag: somebody wants a stop.
    pub pressed: bool,
    /// A flag was set outside a transaction.
    set_by_itself: bool,
}

#[derive(Debug, Default)]
struct Session {
    queue: Option<Vec<Command>>,
    watched: Vec<(Vec<u8>, u64)>,
}

#[derive(Debug, Default)]
pub struct Flags {
    keys: Keys,
    replica: Keys,
    /// The primary of before a failover, still answering those who are connected to it.
    old: Keys,
    /// Who is connected to the old primary.
    pub split: BTreeSet<usize>,
    /// The replica does not hear of writes.
    pub lagging: bool,
    /// `SET` is refused, `DEL` is not: the store is full.
    pub full: bool,
    touched: HashMap<Vec<u8>, u64>,
    writes: u64,
    sessions: HashMap<u64, Session>,
    /// How often another server became the primary, and which one each connection leads to.
    server: u64,
    leads_to: HashMap<u64, u64>,
}

impl Flags {
    pub fn get(&self, key: &str) -> Option<String> {
        self.keys.get(key.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// A person types `SET`.
    pub fn set_by_hand(&mut self, key: &str, value: &str) {
        self.set(false, key.as_bytes(), value.as_bytes());
        self.replicate();
    }

    /// A person types `DEL`, or the store evicts.
    pub fn lose(&mut self, key: &str) -> bool {
        let lost = self.delete(false, key.as_bytes());
        self.replicate();
        lost
    }

    pub fn names(&self) -> Vec<String> {
        self.keys.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    pub fn wipe(&mut self) {
        for key in self.keys.keys() {
            self.writes += 1;
            self.touched.insert(key.clone(), self.writes);
        }
        self.keys.clear();
        self.replica.clear();
    }

    /// The replica takes over with what it has. Those who are `stuck` go on with the old primary.
    pub fn fail_over(&mut self, stuck: BTreeSet<usize>) {
        self.old = std::mem::replace(&mut self.keys, self.replica.clone());
        self.split = stuck;
        self.lagging = false;
        self.server += 1;
        self.sessions.clear();
        self.touched.clear();
        self.writes += 1_000;
    }

    pub fn heal(&mut self) {
        self.split.clear();
        self.lagging = false;
        self.full = false;
        self.replicate();
    }

    fn replicate(&mut self) {
        if !self.lagging {
            self.replica = self.keys.clone();
        }
    }

    fn side(&self, old: bool) -> &Keys {
        if old { &self.old } else { &self.keys }
    }

    fn set(&mut self, old: bool, key: &[u8], value: &[u8]) {
        self.writes += 1;
        self.touched.insert(key.to_vec(), self.writes);
        let side = if old { &mut self.old } else { &mut self.keys };
        side.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, old: bool, key: &[u8]) -> bool {
        self.writes += 1;
        self.touched.insert(key.to_vec(), self.writes);
        let side = if old { &mut self.old } else { &mut self.keys };
        side.remove(key).is_some()
    }

    /// A connection ends with the server that it leads to: nothing is answered on it, a new one must be made.
    /// Else a `WAIT` would ask the new primary about writes of the old one.
    pub fn is_broken(&mut self, env: usize, connection: u64) -> bool {
        let server = if self.split.contains(&env) { self.server.saturating_sub(1) } else { self.server };
        *self.leads_to.entry(connection).or_insert(server) != server
    }

    /// Runs one pipeline of `env` on its connection; the bytes of the answers.
    pub fn run(&mut self, env: usize, connection: u64, pipeline: &[Command]) -> (Vec<u8>, Done) {
        let old = self.split.contains(&env);
        let mut done = Done { checked: self.checked(old, pipeline), ..Done::default() };
        let mut out = Vec::new();
        for command in pipeline {
            let answer = self.one(old, connection, command, &mut done);
            out.extend(answer);
        }
        if !old {
            self.replicate();
        }
        // Only a step's cap sets a flag that way.
        done.pressed |= done.set_by_itself && super::rig::STEPS.contains(&env);
        (out, done)
    }

    fn checked(&self, old: bool, pipeline: &[Command]) -> Option<Checked> {
        // A pipeline may come in pieces; the page's own look asks for the press counters too.
        let of_a_check = |key: &Vec<u8>| key.starts_with(b"agent:halted:");
        let mget = pipeline.first().filter(|command| is(command, "MGET"))?;
        if !mget.get(2..)?.iter().all(of_a_check) {
            return None;
        }
        let keys = self.side(old);
        let halted = mget[2..].iter().any(|flag| keys.contains_key(flag));
        let armed = keys.get(b"agent:armed".as_slice()).map(|v| String::from_utf8_lossy(v).into_owned());
        let customer =
            mget.get(3).map(|key| String::from_utf8_lossy(key).rsplit(':').next().unwrap().to_owned());
        let clear = armed.and_then(|text| text.parse().ok()).filter(|_| !halted);
        Some(Checked { customer, flagged: halted, clear })
    }

    fn one(&mut self, old: bool, connection: u64, command: &Command, done: &mut Done) -> Vec<u8> {
        let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
        let session = self.sessions.entry(connection).or_default();
        match name.as_str() {
            "MULTI" => {
                session.queue = Some(Vec::new());
                b"+OK\r\n".to_vec()
            }
            "EXEC" => {
                let queue = session.queue.take().unwrap_or_default();
                let watched = std::mem::take(&mut session.watched);
                if watched.iter().any(|(key, seen)| self.touched.get(key).copied().unwrap_or(0) != *seen) {
                    return b"*-1\r\n".to_vec();
                }
                let mut out = format!("*{}\r\n", queue.len()).into_bytes();
                for one in &queue {
                    out.extend(self.plain(old, one, done, true));
                }
                out
            }
            "WATCH" => {
                let seen =
                    command[1..].iter().map(|key| (key.clone(), self.touched.get(key).copied().unwrap_or(0)));
                session.watched.extend(seen);
                b"+OK\r\n".to_vec()
            }
            _ => match session.queue.as_mut() {
                Some(queue) => {
                    queue.push(command.clone());
                    b"+QUEUED\r\n".to_vec()
                }
                None => self.plain(old, command, done, false),
            },
        }
    }

    fn plain(&mut self, old: bool, command: &Command, done: &mut Done, in_exec: bool) -> Vec<u8> {
        let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
        let bulk = |value: Option<&Vec<u8>>| match value {
            Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
            None => b"$-1\r\n".to_vec(),
        };
        let refused = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec();
        match name.as_str() {
            "PING" => b"+PONG\r\n".to_vec(),
            "GET" => bulk(self.side(old).get(&command[1])),
            "MGET" => {
                let keys = self.side(old);
                let mut out = format!("*{}\r\n", command.len() - 1).into_bytes();
                command[1..].iter().for_each(|key| out.extend(bulk(keys.get(key))));
                out
            }
            "EXISTS" => {
                let count = command[1..].iter().filter(|key| self.side(old).contains_key(*key)).count();
                format!(":{count}\r\n").into_bytes()
            }
            "SET" if self.full => refused,
            "SET" => {
                let counter =
                    command[1].starts_with(b"agent:halt_seq:") && !command[2].starts_with(b"rearm:");
                done.pressed |= counter;
                done.wrote = true;
                self.set(old, &command[1].clone(), &command[2].clone());
                b"+OK\r\n".to_vec()
            }
            "SETNX" if self.full => refused,
            "SETNX" => {
                let free = !self.side(old).contains_key(&command[1]);
                if free {
                    done.wrote = true;
                    done.set_by_itself |= !in_exec;
                    self.set(old, &command[1].clone(), &command[2].clone());
                }
                format!(":{}\r\n", u8::from(free)).into_bytes()
            }
            "DEL" => {
                done.wrote = true;
                // All that a press can do when the store is full.
                done.pressed |= command[1..].iter().any(|key| key == b"agent:armed");
                let count = command[1..].iter().filter(|key| self.delete(old, key)).count();
                format!(":{count}\r\n").into_bytes()
            }
            // Whoever is stuck with an old primary has no replica behind it.
            "WAIT" => format!(":{}\r\n", u8::from(!self.lagging && !old)).into_bytes(),
            other => format!("-ERR unknown command '{other}'\r\n").into_bytes(),
        }
    }
}

fn is(command: &Command, name: &str) -> bool {
    command.first().is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// Commands of a stream so far, and how many bytes they took.
pub fn parse(mut bytes: &[u8]) -> (Vec<Command>, usize) {
    let whole = bytes.len();
    let mut commands = Vec::new();
    while let Some((command, rest)) = parse_one(bytes) {
        commands.push(command);
        bytes = rest;
    }
    (commands, whole - bytes.len())
}

fn parse_one(bytes: &[u8]) -> Option<(Command, &[u8])> {
    let (count, mut rest) = line(bytes.strip_prefix(b"*")?)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let (length, after) = line(rest.strip_prefix(b"$")?)?;
        let (part, after) = after.split_at_checked(length)?;
        parts.push(part.to_vec());
        rest = after.strip_prefix(b"\r\n")?;
    }
    Some((parts, rest))
}

fn line(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?, &bytes[end + 2..]))
}
