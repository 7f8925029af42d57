//! What a sample says: messages, or a prompt and what completes it.

use minijinja::{Value, value::ValueKind};

/// Names under which a message may have what was thought before it, by `transformers` in this order.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A conversation.
pub(super) enum Conversation {
    /// Messages, and the tools that the assistant may use.
    Messages { messages: Vec<Value>, tools: Value },
    /// Messages, so many of which are the prompt.
    Pair { messages: Vec<Value>, prompt: usize, tools: Value },
    /// Texts that no template changes.
    Texts { prompt: String, completion: String },
}

impl Conversation {
    /// Reads JSON.
    ///
    /// # Errors
    /// The reason why it is no conversation.
    pub(super) fn of(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|error| format!("the text is no JSON: {error}"))?;
        let none = || {
            "the text is no conversation: neither a list of messages, nor an object with `messages`, or with `prompt` \
             and `completion`"
                .to_owned()
        };
        if value.kind() == ValueKind::Seq {
            return Ok(Self::Messages { messages: messages_of(&value, "message")?, tools: Value::from(()) });
        }
        if value.kind() != ValueKind::Map {
            return Err(none());
        }
        let part = |name: &str| value.get_attr(name).ok().filter(|part| !part.is_undefined() && !part.is_none());
        let tools = part("tools").unwrap_or_else(|| Value::from(()));
        if let Some(messages) = part("messages") {
            return Ok(Self::Messages { messages: messages_of(&messages, "message")?, tools });
        }
        let (Some(prompt), Some(completion)) = (part("prompt"), part("completion")) else { return Err(none()) };
        if let (Some(prompt), Some(completion)) = (prompt.as_str(), completion.as_str()) {
            return Ok(Self::Texts { prompt: prompt.to_owned(), completion: completion.to_owned() });
        }
        let mut messages = messages_of(&prompt, "message of the prompt")?;
        let prompt = messages.len();
        messages.extend(messages_of(&completion, "message of the completion")?);
        Ok(Self::Pair { messages, prompt, tools })
    }
}

/// Returns messages as `transformers` gives them to templates.
fn messages_of(value: &Value, what: &str) -> Result<Vec<Value>, String> {
    if value.kind() != ValueKind::Seq {
        return Err(format!("the text is no conversation: each {what} is to stand in a list"));
    }
    let all = value.try_iter().map_err(|error| error.to_string())?;
    let messages: Vec<Value> = all.enumerate().map(|(at, each)| message(&each, what, at)).collect::<Result<_, _>>()?;
    if messages.is_empty() { Err(format!("the text is no conversation: there is no {what}")) } else { Ok(messages) }
}

/// Returns a message without what is null, and with its reasoning under all names that templates read.
fn message(value: &Value, what: &str, at: usize) -> Result<Value, String> {
    if value.kind() != ValueKind::Map {
        return Err(format!("the text is no conversation: {what} {at} is no object"));
    }
    let keys = value.try_iter().map_err(|error| error.to_string())?;
    let entries = keys.filter_map(|key| value.get_item(&key).ok().map(|entry| (key, entry)));
    let entries: Vec<(Value, Value)> = entries.filter(|(_, entry)| !entry.is_none()).collect();
    let named = |name: &str| entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, entry)| entry.clone());
    let reasoning = REASONING.into_iter().find_map(named);
    // A key that comes twice stays where it first was, with what it last had, as in Python.
    let first = reasoning.clone().map(|reasoning| (Value::from("thinking"), reasoning));
    let last = reasoning.map(|reasoning| (Value::from("reasoning_content"), reasoning));
    Ok(Value::from_pairs(first.into_iter().chain(entries).chain(last)))
}
