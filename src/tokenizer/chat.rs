//! Conversations as texts, by the chat template of a model: what `apply_chat_template` of Hugging Face's `transformers` does.

mod conversation;
mod environment;
mod generation;
mod python;

use std::{borrow::Cow, ops::Range};

use minijinja::{Environment, Value};

use self::conversation::Conversation;
use super::{ChatTemplate, Text};

/// The name of the template in errors.
const NAME: &str = "chat_template";

/// A chat template that is compiled.
#[derive(Debug)]
pub(super) struct Chat {
    environment: Environment<'static>,
    variables: Vec<(String, Value)>,
    add_generation_prompt: bool,
    /// Whether the template says itself what the assistant wrote.
    marks_answers: bool,
}

/// What a template made, and which parts of it the assistant wrote, where the template says it.
struct Rendered {
    text: String,
    answers: Vec<Range<usize>>,
}

impl Chat {
    /// Compiles a template.
    ///
    /// # Errors
    /// The reason, for what is no template or whose variables are no object.
    pub(super) fn new(chat: &ChatTemplate) -> Result<Self, String> {
        let variables: Value = serde_json::from_str(&chat.variables).map_err(|error| format!("variables: {error}"))?;
        let names = variables.try_iter().map_err(|error| format!("variables: {error}"))?;
        let variables = names.map(|name| (name.to_string(), variables.get_item(&name).unwrap_or_default())).collect();
        if generation::has_marks(&chat.template) {
            return Err(format!("{NAME}: it has {}", generation::MARKS_ARE));
        }
        let (source, marks_answers) = generation::as_filters(&chat.template);
        let mut environment = environment::new(chat.now.clone());
        environment.add_template_owned(NAME, source).map_err(|error| format!("{NAME}: {error}"))?;
        Ok(Self { environment, variables, add_generation_prompt: chat.add_generation_prompt, marks_answers })
    }

    /// Returns the text of a conversation in JSON; where `answers` is set, with which parts of it the assistant wrote.
    ///
    /// # Errors
    /// The reason, for what is no conversation and what the template refuses.
    pub(super) fn text(&self, json: &str, answers: bool) -> Result<Text<'static>, String> {
        if self.marks_answers && generation::may_have_marks(json) {
            return Err(format!("the text has {}", generation::MARKS_ARE));
        }
        let (text, parts) = match Conversation::of(json)? {
            Conversation::Messages { messages, tools } => {
                let rendered = self.render(&messages, &tools, self.add_generation_prompt)?;
                let parts = match (answers, self.marks_answers) {
                    (false, _) => Vec::new(),
                    (true, true) => rendered.answers,
                    (true, false) => self.answers(&messages, &tools, &rendered.text)?,
                };
                (rendered.text, parts)
            }
            Conversation::Pair { messages, prompt, tools } => {
                let before = self.render(&messages[..prompt], &tools, true)?.text;
                let text = self.render(&messages, &tools, false)?.text;
                let completion = common(&before, &text)..text.len();
                (text, Vec::from([completion]))
            }
            Conversation::Texts { prompt, completion } => {
                let text = format!("{prompt}{completion}");
                let completion = prompt.len()..text.len();
                (text, Vec::from([completion]))
            }
        };
        Ok(Text { text: Cow::Owned(text), labelled: answers.then_some(parts) })
    }

    /// Returns which parts of a text are answers of the assistant: of each, what is in the text up to it, and not in what
    /// asks for it.
    fn answers(&self, messages: &[Value], tools: &Value, text: &str) -> Result<Vec<Range<usize>>, String> {
        let mut answers = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            if message.get_attr("role").ok().as_ref().and_then(Value::as_str) != Some("assistant") {
                continue;
            }
            let asked = self.render(&messages[..at], tools, true)?.text;
            let answered = self.render(&messages[..=at], tools, false)?.text;
            let start = common(&asked, &answered);
            let is_behind =
                start == asked.len() || answered.starts_with(&self.render(&messages[..at], tools, false)?.text);
            if !is_behind || !text.starts_with(&answered) {
                return Err(format!(
                    "the template writes messages up to {at} differently where others follow, so that it is not known \
                     which tokens are the assistant's: use one with {{% generation %}}"
                ));
            }
            answers.push(start..answered.len());
        }
        Ok(answers)
    }

    fn render(&self, messages: &[Value], tools: &Value, add_generation_prompt: bool) -> Result<Rendered, String> {
        let unset = ["tools", "documents"].map(|name| (name.to_owned(), Value::from(())));
        let given = (!tools.is_none()).then(|| ("tools".to_owned(), tools.clone()));
        let own = [
            ("messages".to_owned(), Value::from(messages.to_vec())),
            (generation::PROMPT.to_owned(), Value::from(add_generation_prompt)),
        ];
        let context = unset.into_iter().chain(self.variables.iter().cloned()).chain(given).chain(own);
        let context = Value::from_pairs(context);
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(context));
        let text = rendered.map_err(|error| format!("{NAME}: {error}"))?;
        if !self.marks_answers {
            return Ok(Rendered { text, answers: Vec::new() });
        }
        let (text, answers) = generation::parts(&text).ok_or_else(|| format!("{NAME}: what is generated is cut"))?;
        Ok(Rendered { text, answers })
    }
}

/// Returns how long a beginning two texts have in common.
fn common(one: &str, other: &str) -> usize {
    let bytes = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    one.floor_char_boundary(bytes).min(other.floor_char_boundary(bytes))
}

#[cfg(test)]
mod tests;
