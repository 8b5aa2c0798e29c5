//! One person: registered or seeded, with tokens and shortcuts for what people do.

use serde_json::{Value, json};

use super::rest::history;
use super::{Refusal, Rest, Server, Socket, new_key, unique};

/// The password of everybody who registers in tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody with an account.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: String,
    pub username: String,
    pub access: String,
    /// Empty for the seeded, who have no password either.
    pub refresh: String,
    pub rest: Rest,
}

impl Account {
    /// Registers over REST; the username is `name` and a number.
    pub async fn register(server: &Server, name: &str) -> Self {
        let username = unique(name);
        let body = json!({
            "username": username,
            "email": format!("{username}@example.org"),
            "password": PASSWORD,
            "displayName": name,
        });
        let answer = server.rest().post("/auth/register", body).await.unwrap();
        Self::of_tokens(server, &answer["data"])
    }

    /// Logs in again: another pair of tokens of the same account.
    pub async fn log_in(&self, server: &Server) -> Self {
        let body = json!({"login": self.username, "password": PASSWORD});
        let answer = server.rest().post("/auth/login", body).await.unwrap();
        Self::of_tokens(server, &answer["data"])
    }

    /// Reads `{"user", "accessToken", "refreshToken"}`.
    pub fn of_tokens(server: &Server, tokens: &Value) -> Self {
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("no text in {tokens}"))
                .to_owned()
        };
        let access = text(&tokens["accessToken"]);
        Self {
            id: text(&tokens["user"]["id"]),
            username: text(&tokens["user"]["username"]),
            rest: server.rest().with_token(&access),
            access,
            refresh: text(&tokens["refreshToken"]),
        }
    }

    /// Reads one line of what `fanfare seed` wrote.
    pub fn of_seed(server: &Server, line: &Value) -> Self {
        let text = |field: &str| {
            line[field]
                .as_str()
                .unwrap_or_else(|| panic!("no {field} in {line}"))
                .to_owned()
        };
        let access = text("token");
        Self {
            id: text("user"),
            username: text("username"),
            rest: server.rest().with_token(&access),
            access,
            refresh: String::new(),
        }
    }

    /// A socket after its hello.
    pub async fn connect(&self, server: &Server) -> Socket {
        Socket::open(server.address(), &self.access, json!([]))
            .await
            .unwrap()
    }

    /// Creates a conversation; gives it as the answer shows it.
    pub async fn create(&self, body: Value) -> Value {
        let mut answer = self.rest.post("/conversations", body).await.unwrap();
        answer["data"].take()
    }

    /// A group with these others; gives its id.
    pub async fn group(&self, others: &[&Account]) -> String {
        let ids: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
        let group = self
            .create(json!({"kind": "group", "title": "a group", "participantIds": ids}))
            .await;
        id_of(&group)
    }

    /// An open public channel; gives its id.
    pub async fn channel(&self) -> String {
        let channel = self
            .create(json!({
                "kind": "channel", "title": "a channel", "slug": unique("channel-"),
                "visibility": "public", "joinPolicy": "open",
            }))
            .await;
        id_of(&channel)
    }

    /// Sends over REST under a fresh key; gives the message.
    pub async fn say(&self, conversation: &str, text: &str) -> Value {
        self.say_as(conversation, &new_key(), json!({"text": text}))
            .await
            .unwrap()
    }

    /// Sends over REST under `key`.
    pub async fn say_as(
        &self,
        conversation: &str,
        key: &str,
        body: Value,
    ) -> Result<Value, Refusal> {
        let path = format!("/conversations/{conversation}/messages");
        let mut answer = self.rest.call("POST", &path, Some(body), Some(key)).await?;
        Ok(answer["data"].take())
    }

    /// The whole history as this account may read it.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        self.try_history(conversation).await.unwrap()
    }

    pub async fn try_history(&self, conversation: &str) -> Result<Vec<Value>, Refusal> {
        history(&self.rest, conversation).await
    }

    /// The conversation as this account sees it.
    pub async fn conversation(&self, conversation: &str) -> Value {
        self.try_conversation(conversation).await.unwrap()
    }

    pub async fn try_conversation(&self, conversation: &str) -> Result<Value, Refusal> {
        let path = format!("/conversations/{conversation}");
        Ok(self.rest.get(&path).await?["data"].take())
    }
}

/// The id of anything on the wire.
pub fn id_of(thing: &Value) -> String {
    thing["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {thing}"))
        .to_owned()
}

/// The seq of anything on the wire.
pub fn seq_of(thing: &Value) -> u64 {
    thing["seq"]
        .as_u64()
        .unwrap_or_else(|| panic!("no seq in {thing}"))
}
