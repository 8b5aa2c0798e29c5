//! Seeding into a store in memory and into a folder.

use std::path::PathBuf;

use fanfare_actors::account::TokenKey;
use fanfare_engine::port::{Order, RowRange};
use fanfare_protocol::conversation::{Kind, Role, Visibility};
use fanfare_storage::Memory;
use tempfile::tempdir;

use super::*;

fn wish(users: u64, conversations: u64, members: u64) -> Seed {
    Seed {
        users,
        conversations,
        members,
        out: PathBuf::from("out"),
        token_ttl: None,
    }
}

fn garden() -> Garden {
    Garden {
        access: AccessTokens::new(&TokenKey::new([1; 32])),
        ports: Memory::new().ports(),
        limits: Limits::default(),
        clock: Clock::wall(),
        life_s: 60,
        done: AtomicU64::new(0),
    }
}

async fn rows(garden: &Garden, conversation: ConversationId) -> Vec<fanfare_engine::row::LogRow> {
    let range = RowRange {
        conversation,
        from: 1,
        to: u64::MAX,
        limit: 1000,
        order: Order::Ascending,
    };
    garden.ports.log.rows(range).await.unwrap()
}

#[tokio::test]
async fn users_come_in_order_with_good_tokens_and_settled_names() {
    let garden = garden();
    let lines = garden.plant(&wish(25, 0, 2)).await.unwrap();
    for (n, line) in (1..).zip(&lines) {
        assert_eq!(line.username, format!("seed-{n:06}"));
        let now = garden.clock.now();
        let identity = garden.access.verify(&line.token, now).unwrap();
        assert_eq!(identity.user, line.user);
        let names = &garden.ports.names;
        let claim = names.claimed(Scope::Username, line.username.clone()).await;
        let claim = claim.unwrap().unwrap();
        assert!(claim.is_settled() && claim.owner == *line.user.as_bytes());
        let account = garden.ports.accounts.account(line.user).await.unwrap();
        assert!(account.unwrap().password.is_none());
        let family = garden.ports.tokens.family(identity.session).await.unwrap();
        assert_eq!(family.unwrap().user, line.user);
    }
    let error = garden.plant(&wish(1, 0, 2)).await.unwrap_err().to_string();
    assert!(error.contains("seeded users already"), "{error}");
}

#[tokio::test]
async fn conversations_have_the_members_of_the_rule() {
    let garden = garden();
    let lines = garden.plant(&wish(5, 4, 3)).await.unwrap();
    let first = lines[0].conversations[0];
    let of = |c: u64| -> Vec<usize> { members(c, 3, 5).collect() };
    assert_eq!(
        (of(0), of(1), of(3)),
        (vec![0, 1, 2], vec![3, 4, 0], vec![4, 0, 1])
    );
    for (index, line) in lines.iter().enumerate() {
        let expected = (0..4).filter(|c| of(*c).contains(&index)).count();
        assert_eq!(line.conversations.len(), expected, "user {index}");
        let page = garden
            .ports
            .members
            .conversations_of(line.user, None, 100)
            .await;
        let mut stored: Vec<_> = page.unwrap().iter().map(|row| row.conversation).collect();
        let mut told = line.conversations.clone();
        stored.sort();
        told.sort();
        assert_eq!(stored, told);
    }
    let meta = garden.ports.log.meta(first).await.unwrap().unwrap();
    assert_eq!(
        (meta.kind, meta.member_count, meta.rev),
        (Kind::Group, 3, 1)
    );
    assert_eq!(meta.created_by, lines[0].user);
    let owner = garden.ports.members.member(first, lines[0].user).await;
    assert_eq!(owner.unwrap().unwrap().role, Role::Owner);
    let member = garden.ports.members.member(first, lines[1].user).await;
    assert_eq!(member.unwrap().unwrap().role, Role::Member);
    let head = garden.ports.log.head(first).await.unwrap().unwrap();
    assert!(head.is_clean() && head.seq == 1 && head.mno == 0);
    let epochs = garden.ports.log.epochs(first).await.unwrap();
    assert_eq!(epochs[0].first_seq, Some(1));
    assert_eq!(epochs[0].epoch, head.epoch);
}

#[tokio::test]
async fn beyond_the_group_limit_it_is_an_open_channel() {
    let garden = garden();
    let lines = garden.plant(&wish(600, 1, 600)).await.unwrap();
    let channel = lines[0].conversations[0];
    let meta = garden.ports.log.meta(channel).await.unwrap().unwrap();
    assert_eq!(
        (meta.kind, meta.visibility),
        (Kind::Channel, Visibility::Public)
    );
    assert_eq!((meta.member_count, meta.rev), (600, 3));
    assert_eq!(meta.slug.as_deref(), Some("seed-000001"));
    let slug = garden
        .ports
        .names
        .claimed(Scope::Slug, "seed-000001".into())
        .await;
    assert_eq!(slug.unwrap().unwrap().owner, *channel.as_bytes());
    assert_eq!(rows(&garden, channel).await.len(), 3);
    let head = garden.ports.log.head(channel).await.unwrap().unwrap();
    assert_eq!((head.seq, head.clean), (3, 3));
    let last = garden.ports.members.member(channel, lines[599].user).await;
    let last = last.unwrap().unwrap();
    assert!(last.is_active() && last.from_seq == 1 && last.changed_seq == 3);
}

#[test]
fn too_few_users_are_refused_before_anything_is_written() {
    assert!(fits(&wish(2, 1, 3)).is_err());
    assert!(fits(&wish(2, 0, 3)).is_ok());
    assert!(fits(&wish(3, 1, 3)).is_ok());
}

#[tokio::test]
async fn the_file_has_one_line_per_user() {
    let folder = tempdir().unwrap();
    let config = Config {
        data: folder.path().join("data"),
        ..Config::default()
    };
    let wish = Seed {
        out: folder.path().join("users.jsonl"),
        ..wish(30, 10, 3)
    };
    std::fs::write(&wish.out, "of an older one\n".repeat(10_000)).unwrap();
    seed(&config, &wish).await.unwrap();
    let text = std::fs::read_to_string(&wish.out).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 30);
    assert_eq!(lines[29]["username"], "seed-000030");
    assert_eq!(lines[4]["conversations"].as_array().unwrap().len(), 1);
    assert!(lines[0]["user"].is_string() && lines[0]["token"].is_string());
    let again = seed(&config, &wish).await.unwrap_err().to_string();
    assert!(again.contains("seeded users already"), "{again}");
    assert_eq!(std::fs::read_to_string(&wish.out).unwrap(), text);
}
