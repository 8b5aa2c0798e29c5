//! A chat written for the tests: Alice, Bob and their friends, when the real logs are
//! not there. It has every kind of line the real ones have.

/// The log, in the real logs' format; the same on every call.
pub fn log() -> String {
    let mut log = String::from(OPENING);
    let people = ["Alice", "Bob", "carol_", "D4ve`", "[Erin]"];
    for turn in 0..ROUNDS {
        let speaker = people[(turn * 7 + turn / 5) % people.len()];
        let other = people[(turn * 3 + 1) % people.len()];
        let line = match turn % 9 {
            0 => format!("[10:00] <{speaker}> {other}: did round {turn} reach you?\n"),
            1 => format!("[10:00] <{speaker}> yes, <b>{turn}</b> & \"quotes\" too \n"),
            2 => format!("[10:00] <{speaker}>  indented, {turn} → naïve café ☕\n"),
            3 => format!("[10:01]  * {speaker} counts to {turn}\n"),
            4 => format!("[10:01] <{speaker}> ls -la | grep {turn} > /dev/null; echo \"$?\"\n"),
            5 => format!("[10:01] <{speaker}> https://example.org/?q={turn}&x=%20\n"),
            6 => format!("[10:02] <{speaker}> \ttab, then \\backslash {turn}\n"),
            7 => format!("[10:02] <guest{turn}> I speak without a join line\n"),
            _ => format!("[10:02] <{speaker}> lol\n"),
        };
        log.push_str(&line);
    }
    log.push_str(CLOSING);
    log
}

/// Turns between opening and closing; makes the stand-in about 400 lines.
const ROUNDS: usize = 380;

const OPENING: &str = "\
=== Alice [n=alice@example.org]  has joined #fanfare
[09:58] <Alice> is anybody here?
=== Bob [n=bob@example.org]  has joined #fanfare
=== mode/#fanfare [+o Alice]  by ChanServ
[09:59] <Bob> Alice: I am
[09:59]  * Alice waves
this line is nothing the log format knows
=== carol [n=carol@example.net]  has joined #fanfare
=== carol is now known as carol_
";

const CLOSING: &str = "\
=== D4ve` was kicked off #fanfare by Alice (Alice)
[10:03] <Alice> D4ve` will be back
[10:03] <D4ve`> I am
=== Bob [n=bob@example.org]  has left #fanfare [\"Leaving\"]
[10:04] <Bob> and back again without a join line
=== Alice is now known as Alice_away
[10:05] <Alice_away> good night
=== carol_ [n=carol@example.net]  has left #fanfare []
";
