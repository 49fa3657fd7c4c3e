//! Ends of attempts, gathered to be published in one step, with their follow-up jobs.
//!
//! All bytes lie in one arena that is used again: a job costs no allocation.

use std::ops::Range;

use crate::options::{Options, Resolved, lane_size};
use crate::outcome::Verdict;

/// Follow-up jobs of one attempt, held back until it is settled.
#[derive(Debug, Default)]
pub(crate) struct Held {
    follows: Vec<Follow>,
    arena: Vec<u8>,
    lane_size: usize,
}

/// One follow-up job; its bytes lie in the arena from `start`: trace, key, meta, payload.
#[derive(Clone, Debug)]
struct Follow {
    options: Options,
    start: usize,
    trace_length: usize,
    key_length: usize,
    meta_length: usize,
    payload_length: usize,
}

/// The bytes of a follow-up job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub trace: &'a [u8],
    pub key: &'a [u8],
    pub meta: &'a [u8],
    pub payload: &'a [u8],
}

impl Held {
    /// Copies a job.
    pub fn push(&mut self, job: &Resolved<'_>) {
        let trace = job.trace.map_or(&[][..], |trace| trace.as_bytes());
        self.follows.push(Follow {
            options: job.options,
            start: self.arena.len(),
            trace_length: trace.len(),
            key_length: job.key.len(),
            meta_length: job.meta.len(),
            payload_length: job.payload.len(),
        });
        for part in [trace, job.key, job.meta, job.payload] {
            self.arena.extend_from_slice(part);
        }
        self.lane_size += job.lane_size();
    }

    pub fn clear(&mut self) {
        self.follows.clear();
        self.arena.clear();
        self.lane_size = 0;
    }

    pub fn len(&self) -> usize {
        self.follows.len()
    }

    pub fn lane_size(&self) -> usize {
        self.lane_size
    }
}

/// The end of one attempt.
#[derive(Debug)]
pub(crate) struct Entry {
    pub job: u64,
    pub token: u64,
    pub delay_ns: u64,
    pub data: Range<usize>,
    pub follows: Range<usize>,
    pub outcome: u8,
}

/// Ends of attempts in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    follows: Vec<Follow>,
    arena: Vec<u8>,
    lane_size: usize,
}

impl Batch {
    /// Adds the end of an attempt and takes the jobs it held back; empties `held` in any case.
    pub fn push(&mut self, job: u64, token: u64, verdict: &Verdict<'_>, held: &mut Held) {
        if !verdict.ends_job() {
            held.clear();
        }
        self.lane_size += Self::needed(verdict, held);
        let data = self.arena.len()..self.arena.len() + verdict.data.len();
        self.arena.extend_from_slice(&verdict.data);
        let follows = self.follows.len()..self.follows.len() + held.len();
        let shift = self.arena.len();
        self.follows
            .extend(held.follows.drain(..).map(|mut follow| {
                follow.start += shift;
                follow
            }));
        self.arena.extend_from_slice(&held.arena);
        held.clear();
        let Verdict {
            outcome, delay_ns, ..
        } = *verdict;
        self.entries.push(Entry {
            job,
            token,
            delay_ns,
            data,
            follows,
            outcome,
        });
    }

    /// Bytes that the end of an attempt takes in the lane.
    pub fn needed(verdict: &Verdict<'_>, held: &Held) -> usize {
        lane_size(verdict.data.len()) + held.lane_size
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.follows.clear();
        self.arena.clear();
        self.lane_size = 0;
    }

    /// Bytes it takes in the lane.
    pub fn lane_size(&self) -> usize {
        self.lane_size
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.arena[range]
    }

    pub fn follows(&self) -> impl Iterator<Item = (&Options, Parts<'_>)> {
        self.follows.iter().map(|follow| {
            let (trace, rest) = self.arena[follow.start..].split_at(follow.trace_length);
            let (key, rest) = rest.split_at(follow.key_length);
            let (meta, rest) = rest.split_at(follow.meta_length);
            let payload = &rest[..follow.payload_length];
            (
                &follow.options,
                Parts {
                    trace,
                    key,
                    meta,
                    payload,
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(kind: u16, key: &'a [u8], payload: &'a [u8]) -> Resolved<'a> {
        let options = Options {
            kind,
            ..Options::default()
        };
        Resolved {
            options,
            payload,
            key,
            meta: b"m",
            trace: None,
        }
    }

    #[test]
    fn follow_up_jobs_belong_to_the_attempt_that_held_them() {
        let (mut batch, mut held) = (Batch::default(), Held::default());
        held.push(&job(1, b"a", b"one"));
        held.push(&job(2, b"", b"two"));
        batch.push(10, 100, &Verdict::ok(b"first".to_vec()), &mut held);
        batch.push(11, 100, &Verdict::ok(Vec::new()), &mut held);
        held.push(&job(3, b"c", b""));
        batch.push(12, 101, &Verdict::dead("no"), &mut held);

        let ranges: Vec<_> = batch
            .entries()
            .iter()
            .map(|entry| entry.follows.clone())
            .collect();
        assert_eq!(ranges, [0..2, 2..2, 2..3]);
        let data = |index: usize| batch.bytes(batch.entries()[index].data.clone());
        assert_eq!(
            (data(0), data(1), data(2)),
            (&b"first"[..], &b""[..], &b"no"[..])
        );
        let parts: Vec<_> = batch
            .follows()
            .map(|(o, p)| (o.kind, p.key, p.payload))
            .collect();
        assert_eq!(
            parts,
            [
                (1, &b"a"[..], &b"one"[..]),
                (2, &b""[..], &b"two"[..]),
                (3, &b"c"[..], &b""[..])
            ]
        );
        assert!(batch.follows().all(|(_, parts)| parts.meta == b"m"));
    }

    #[test]
    fn an_attempt_that_is_to_be_repeated_leaves_no_follow_up_jobs() {
        let (mut batch, mut held) = (Batch::default(), Held::default());
        held.push(&job(1, b"a", b"one"));
        batch.push(10, 100, &Verdict::retry("again"), &mut held);
        assert_eq!(
            (batch.follows().count(), held.len(), held.lane_size()),
            (0, 0, 0)
        );
        assert_eq!(batch.lane_size(), 64 + 8);
    }

    #[test]
    fn the_space_in_the_lane_is_known_and_given_back() {
        let (mut batch, mut held) = (Batch::default(), Held::default());
        held.push(&job(1, b"key", b"payload"));
        let verdict = Verdict::ok(vec![0; 9]);
        assert_eq!(Batch::needed(&verdict, &held), (64 + 16) + (64 + 16));
        batch.push(1, 1, &verdict, &mut held);
        assert_eq!(batch.lane_size(), 160);
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.lane_size(), 0);
    }
}
