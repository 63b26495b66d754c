//! Who repeats what, why, how often and with which pauses: every loop of the client that asks the server
//! again.
//!
//! The loops stand where they belong and take their numbers from here, so that [`TABLE`] says how they
//! multiply. Without any answer from the server a request of the kernel's ends after so many timeouts (the
//! mount's `-o timeout`, 10 s):
//!
//! | request | timeouts | because |
//! |---|---|---|
//! | one plain call | [`PLAIN_TIMEOUTS`] | login, call and repetition share one deadline |
//! | `read` | [`READ_TIMEOUTS`] | [`CONNECTION`] within [`FETCHED_AHEAD`] |
//! | `close` with a check-in | [`CHECKIN_TIMEOUTS`] | [`CONNECTION`], each try with [`ANSWER_TIMEOUTS`] |
//!
//! A check-in that is sent as a stream takes fewer: [`STREAM`] repeats it only once a plain call was answered.
//!
//! That is the bound for connections that each break just before their deadline. A server that is merely
//! silent costs one try, as nothing is repeated after a deadline; and then, for [`CIRCUIT_PAUSE`], every
//! further call fails at once. Rules on what the server [answered](Because::Answered) cost round trips of a
//! server that is there.

use std::time::Duration;

/// Why a loop goes round again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The connection broke with the request on it. Never after a deadline.
    Broken,
    /// There was no answer in the end: [`RemoteError::Unreachable`](super::RemoteError::Unreachable).
    Unreachable,
    /// The server answered, and asking again is the right thing to do about it.
    Answered,
    /// Another task of this mount's came between.
    Interrupted,
}

/// One loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The module and, where it is not the only one there, the function.
    pub place: &'static str,
    /// What it repeats.
    pub what: &'static str,
    /// When it does.
    pub because: Because,
    /// Tries in all, the first one included; at least 1. [`ON`] where only success or the mount's end stops
    /// it.
    pub tries: u32,
    /// What it waits before a repetition.
    pub pause: Backoff,
}

/// For as long as it takes: in the background, or as long as each try brings something.
pub const ON: u32 = u32::MAX;

/// A call that may be sent twice, `Repeat::Once` in the table of calls.
pub const CONNECTION: Rule = Rule {
    place: "remote/https/attempts",
    what: "a call that may be sent twice",
    because: Because::Broken,
    tries: 2,
    pause: Backoff::NONE,
};

/// A call of a session that ran out, after one new login.
pub const SESSION: Rule = Rule {
    place: "remote/https/attempts",
    what: "a call whose session ran out, after a new login",
    because: Because::Answered,
    tries: 2,
    pause: Backoff::NONE,
};

/// Logins of a user who is disabled, or from a node whose certificate is revoked. Who calls is refused at once in between;
/// [`EVENTS`] calls as long as the mount lives.
pub const REVOKED: Rule = Rule {
    place: "remote/https/session::token",
    what: "the login of who is disabled or revoked",
    because: Because::Answered,
    tries: ON,
    pause: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) },
};

/// A login's first half. Its second half is not repeated: a challenge serves once.
pub const CHALLENGE: Rule = Rule {
    place: "remote/https/attempts::new_session",
    what: "the request for a challenge",
    because: Because::Broken,
    tries: 2,
    pause: Backoff::NONE,
};

/// The rest of a range whose answer broke off, as long as each try brought something of it.
pub const RANGE: Rule = Rule {
    place: "remote/https/calls::read",
    what: "the rest of a range whose answer broke off",
    because: Because::Answered,
    tries: ON,
    pause: Backoff::NONE,
};

/// A read whose bytes were fetched ahead, which may have failed long ago.
pub const FETCHED_AHEAD: Rule = Rule {
    place: "document/reader::read",
    what: "a fetch that an earlier read began",
    because: Because::Unreachable,
    tries: 2,
    pause: Backoff::NONE,
};

/// A read whose fetch another read of the handle dropped.
pub const GIVEN_UP: Rule = Rule {
    place: "document/reader::read",
    what: "a fetch that another read of the handle dropped",
    because: Because::Interrupted,
    tries: 4,
    pause: Backoff::NONE,
};

/// A read under a pin that the server forgot when it was started anew.
pub const PIN: Rule = Rule {
    place: "document/read::base",
    what: "a read, after its pin was taken up again",
    because: Because::Answered,
    tries: 2,
    pause: Backoff::NONE,
};

/// A read of a version that an own check-in replaced meanwhile.
pub const OVERTAKEN_READ: Rule = Rule {
    place: "document/read::read",
    what: "a read that own check-ins overtook",
    because: Because::Interrupted,
    tries: 4,
    pause: Backoff::NONE,
};

/// A check-in that was sent as a stream, after it was found out whether it happened.
pub const STREAM: Rule = Rule {
    place: "document/checkin",
    what: "a check-in that was sent as a stream",
    because: Because::Unreachable,
    tries: 2,
    pause: Backoff::NONE,
};

/// An `open` whose answer own check-ins overtook.
pub const OVERTAKEN_OPEN: Rule = Rule {
    place: "fs/io::pinned",
    what: "an open that own check-ins overtook",
    because: Because::Interrupted,
    tries: 3,
    pause: Backoff::NONE,
};

/// A conflict copy's name that is taken: most copies of one name in one second.
pub const CONFLICT_NAME: Rule = Rule {
    place: "fs/conflict::copy_into",
    what: "the creation of a conflict copy, under the next name",
    because: Because::Answered,
    tries: 20,
    pause: Backoff::NONE,
};

/// Check-ins of files that are closed, in the background.
pub const CLOSED_DRAFTS: Rule = Rule {
    place: "fs/conflict::run_retries",
    what: "check-ins of closed files",
    because: Because::Unreachable,
    tries: ON,
    pause: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
};

/// The last check-ins of a mount that ends, within [`LAST_CHECK_INS_WITHIN`].
pub const LAST_CHECK_INS: Rule = Rule {
    place: "fs/recover::check_in_last",
    what: "the last check-ins of a mount that ends",
    because: Because::Unreachable,
    tries: ON,
    pause: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(2) },
};

/// Conflict copies of drafts that an earlier mount kept, in the background.
pub const KEPT_DRAFTS: Rule = Rule {
    place: "fs/recover::offer_kept",
    what: "conflict copies of drafts that an earlier mount kept",
    because: Because::Unreachable,
    tries: ON,
    pause: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
};

/// The stream of events, in the background.
pub const EVENTS: Rule = Rule {
    place: "fs/rights::run_events",
    what: "the stream of events",
    because: Because::Unreachable,
    tries: ON,
    pause: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) },
};

/// All of them.
pub const TABLE: &[Rule] = &[
    CONNECTION,
    SESSION,
    REVOKED,
    CHALLENGE,
    RANGE,
    FETCHED_AHEAD,
    GIVEN_UP,
    PIN,
    OVERTAKEN_READ,
    STREAM,
    OVERTAKEN_OPEN,
    CONFLICT_NAME,
    CLOSED_DRAFTS,
    LAST_CHECK_INS,
    KEPT_DRAFTS,
    EVENTS,
];

/// After a failed connect or a deadline every call fails at once for so long; then one of them probes.
pub const CIRCUIT_PAUSE: Duration = Duration::from_secs(1);

/// A mount that ends tries its last check-ins again for so long; then it keeps what is not on the server on this machine.
pub const LAST_CHECK_INS_WITHIN: Duration = Duration::from_secs(10);

/// After a refused login the next one is tried only so much later, so that every `stat` on a dead mount
/// does not become a login that the server counts.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(5);

/// A check-in's answer comes when the version is durable, which a busy disk delays: it may take so many
/// timeouts.
pub const ANSWER_TIMEOUTS: u32 = 3;

/// Most timeouts of one plain call without an answer.
pub const PLAIN_TIMEOUTS: u32 = 1;

/// Most timeouts of a `read` without an answer.
pub const READ_TIMEOUTS: u32 = 4;

/// Most timeouts of a `close` that checks in, without an answer.
pub const CHECKIN_TIMEOUTS: u32 = 6;

impl Rule {
    /// Repetitions: tries without the first.
    pub const fn repeats(&self) -> u32 {
        self.tries.saturating_sub(1)
    }
}

/// Pauses that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Backoff {
    /// No pause.
    pub const NONE: Backoff = Backoff { first: Duration::ZERO, most: Duration::ZERO };

    /// Begins with the first pause.
    pub fn begin(self) -> Pauses {
        Pauses { backoff: self, next: self.first }
    }
}

/// Where a loop is in its [`Backoff`].
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    backoff: Backoff,
    next: Duration,
}

impl Pauses {
    /// The pause that is due; the next one is twice as long.
    pub fn advance(&mut self) -> Duration {
        let due = self.next;
        self.next = due.saturating_mul(2).min(self.backoff.most);
        due
    }

    /// Success: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.backoff.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut pauses = CLOSED_DRAFTS.pause.begin();
        let seconds: Vec<_> = (0..8).map(|_| pauses.advance().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        pauses.reset();
        assert_eq!(pauses.advance().as_secs(), 1);
    }

    /// Multiplies the rules that go round without an answer, as the loops lie in each other.
    #[test]
    fn the_worst_total_is_what_is_documented() {
        let no_answer = |rule: &Rule| match rule.because {
            Because::Broken | Because::Unreachable => rule.tries,
            Because::Answered | Because::Interrupted => 1,
        };
        let within =
            |place: &str| -> u32 { TABLE.iter().filter(|rule| rule.place == place).map(no_answer).product() };
        let (call, read) = (within("remote/https/attempts"), within("document/reader::read"));
        assert_eq!(
            read * call * within("document/read::read") * within("document/read::base"),
            READ_TIMEOUTS
        );
        let whole = call * ANSWER_TIMEOUTS;
        // A stream's second try comes after a plain call that finds out what became of the first.
        let streamed = ANSWER_TIMEOUTS + PLAIN_TIMEOUTS;
        assert_eq!(whole.max(streamed), CHECKIN_TIMEOUTS);
        let said = format!("at most {READ_TIMEOUTS} of them, a `close` at most {CHECKIN_TIMEOUTS}.");
        assert!(include_str!("../../../docs/SEMANTICS.md").contains(&said), "SEMANTICS.md says: {said}");
    }

    #[test]
    fn what_goes_on_for_ever_pauses_or_brings_something() {
        for rule in TABLE.iter().filter(|rule| rule.tries == ON && *rule != &RANGE) {
            assert!(rule.pause.first > Duration::ZERO && rule.pause.most >= rule.pause.first, "{rule:?}");
        }
    }
}
