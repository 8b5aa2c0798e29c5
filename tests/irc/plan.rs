//! A parsed day as steps for accounts: who joins, speaks, renames, leaves, in order.
//!
//! **Invariant:** the `Say` steps are the day's messages and actions, in order, once
//! each (empty ones excepted, which are counted). Whoever speaks or leaves without
//! having joined joins some steps before.

use std::collections::{HashMap, HashSet};

use super::Line;

/// How many steps before it is needed a missing join is put.
const JOIN_AHEAD_STEPS: usize = 25;

/// What account `who` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub who: usize,
    pub act: Act,
}

/// One thing done in the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Join,
    Leave,
    /// The channel's owner removes this account.
    Kicked,
    Say(String),
    /// A new display name.
    Rename(String),
}

/// A day to be replayed.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Display name of each account at its first appearance.
    pub nicks: Vec<String>,
    pub steps: Vec<Step>,
    /// Messages without any text; a server refuses them, so nobody sends them.
    pub empty_messages: usize,
}

impl Plan {
    /// Plans `lines`; `limit` keeps only so many of them.
    pub fn of(lines: &[Line], limit: usize) -> Self {
        let mut planner = Planner::default();
        for line in lines.iter().take(limit) {
            planner.line(line);
        }
        planner.plan
    }

    /// The texts said, with their speaker, in order.
    pub fn said(&self) -> Vec<(usize, &str)> {
        self.steps
            .iter()
            .filter_map(|step| match &step.act {
                Act::Say(text) => Some((step.who, text.as_str())),
                _ => None,
            })
            .collect()
    }
}

#[derive(Default)]
struct Planner {
    plan: Plan,
    who_is: HashMap<String, usize>,
    inside: HashSet<usize>,
}

impl Planner {
    fn line(&mut self, line: &Line) {
        match line {
            Line::Message { text, .. } if text.is_empty() => self.plan.empty_messages += 1,
            Line::Message { nick, text } => self.say(nick, text.clone()),
            Line::Action { nick, text } => self.say(nick, format!("* {nick} {text}")),
            Line::Join { nick } => {
                let who = self.who(nick);
                if self.inside.insert(who) {
                    self.step(who, Act::Join);
                }
            }
            Line::Leave { nick } => self.out(nick, Act::Leave),
            Line::Kick { nick } => self.out(nick, Act::Kicked),
            Line::Rename { from, to } => {
                let who = self.who(from);
                self.who_is.remove(from);
                self.who_is.insert(to.clone(), who);
                self.step(who, Act::Rename(to.clone()));
            }
            Line::Notice { .. } | Line::Unknown { .. } => {}
        }
    }

    fn say(&mut self, nick: &str, text: String) {
        let who = self.who(nick);
        self.bring_in(who);
        self.step(who, Act::Say(text));
    }

    fn out(&mut self, nick: &str, act: Act) {
        let who = self.who(nick);
        self.bring_in(who);
        self.inside.remove(&who);
        self.step(who, act);
    }

    fn who(&mut self, nick: &str) -> usize {
        if let Some(&who) = self.who_is.get(nick) {
            return who;
        }
        let who = self.plan.nicks.len();
        self.plan.nicks.push(nick.to_owned());
        self.who_is.insert(nick.to_owned(), who);
        who
    }

    fn step(&mut self, who: usize, act: Act) {
        self.plan.steps.push(Step { who, act });
    }

    /// Puts the missing join ahead of now, but behind what the account did before.
    fn bring_in(&mut self, who: usize) {
        if !self.inside.insert(who) {
            return;
        }
        let steps = &mut self.plan.steps;
        let behind_own = steps
            .iter()
            .rposition(|step| step.who == who)
            .map_or(0, |at| at + 1);
        let at = behind_own.max(steps.len().saturating_sub(JOIN_AHEAD_STEPS));
        steps.insert(
            at,
            Step {
                who,
                act: Act::Join,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{day, parse, stand_in};
    use super::*;

    /// Plays the plan in the head: every speaker inside, every text where it was.
    fn holds(lines: &[Line]) {
        let plan = Plan::of(lines, usize::MAX);
        let mut inside = HashSet::new();
        for step in &plan.steps {
            match step.act {
                Act::Join => assert!(inside.insert(step.who), "joined twice: {step:?}"),
                Act::Leave | Act::Kicked => {
                    assert!(inside.remove(&step.who), "left without being in: {step:?}")
                }
                Act::Say(_) => assert!(inside.contains(&step.who), "speaks from outside: {step:?}"),
                Act::Rename(_) => {}
            }
        }
        let texts: Vec<String> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Message { text, .. } if !text.is_empty() => Some(text.clone()),
                Line::Action { nick, text } => Some(format!("* {nick} {text}")),
                _ => None,
            })
            .collect();
        let said: Vec<&str> = plan.said().into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, texts);
    }

    #[test]
    fn plans_hold_for_real_days_and_the_stand_in() {
        for name in ["2006-06-01.txt", "2007-12-17.txt", "2008-04-27.txt"] {
            holds(&day(name).lines);
        }
        holds(&parse(&stand_in::log()));
    }

    #[test]
    fn a_rename_keeps_the_account_and_frees_the_nick() {
        let log = "[10:00] <a> one\n=== a is now known as b\n[10:00] <b> two\n[10:00] <a> three\n";
        let plan = Plan::of(&parse(log), usize::MAX);
        assert_eq!(plan.said(), [(0, "one"), (0, "two"), (1, "three")]);
        assert_eq!(plan.nicks, ["a", "a"]);
    }

    #[test]
    fn a_missing_join_never_overtakes_the_own_leave() {
        let log = "[10:00] <a> one\n=== a [h]  has left #x\n[10:00] <a> two\n";
        let plan = Plan::of(&parse(log), usize::MAX);
        let acts: Vec<&Act> = plan.steps.iter().map(|step| &step.act).collect();
        let (one, two) = (Act::Say("one".into()), Act::Say("two".into()));
        assert_eq!(acts, [&Act::Join, &one, &Act::Leave, &Act::Join, &two]);
    }
}
