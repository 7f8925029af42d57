use super::*;

const PLAIN: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}\
                     {% if add_generation_prompt %}<assistant>{% endif %}";
const MARKED: &str = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</>\
                      {% endgeneration %}{% else %}{{ m.content }}</>{% endif %}{% endfor %}";
const TALK: &str = r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "é"}, {"role": "user",
    "content": "b"}, {"role": "assistant", "content": ""}]"#;

fn chat(template: &str) -> Result<Chat, String> {
    Chat::new(&ChatTemplate {
        template: template.to_owned(),
        variables: r#"{"bos_token": "<s>"}"#.to_owned(),
        add_generation_prompt: false,
        now: [("Y".to_owned(), "2026".to_owned())].into(),
    })
}

/// Returns the text and its labelled parts.
fn read(template: &str, json: &str) -> Result<(String, Vec<String>), String> {
    let Text { text, labelled } = chat(template)?.text(json, true)?;
    let parts = labelled.unwrap().into_iter().map(|part| text[part].to_owned()).collect();
    Ok((text.into_owned(), parts))
}

#[test]
fn answers_are_found_by_blocks_and_by_beginnings() {
    let text = "<user>a</><assistant>é</><user>b</><assistant></>".to_owned();
    let answers = vec!["é</>".to_owned(), "</>".to_owned()];
    assert_eq!(read(PLAIN, TALK), Ok((text.clone(), answers.clone())));
    assert_eq!(read(MARKED, TALK), Ok((text, answers)));
    assert_eq!(chat(PLAIN).unwrap().text(TALK, false).unwrap().labelled, None);
}

#[test]
fn completions_are_what_is_behind_the_prompt() {
    let pair =
        r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#;
    assert_eq!(read(PLAIN, pair), Ok(("<user>a</><assistant>b</>".to_owned(), vec!["b</>".to_owned()])));
    let texts = r#"{"prompt": "x ", "completion": "y"}"#;
    assert_eq!(read(PLAIN, texts), Ok(("x y".to_owned(), vec!["y".to_owned()])));
}

#[test]
fn answers_that_are_not_known_are_refused() {
    let last = "{% for m in messages %}{{ m.content if loop.last else 'x' }}{% endfor %}";
    assert!(read(last, TALK).unwrap_err().contains("use one with {% generation %}"));
    let marked = r#"[{"role": "user", "content": "\ufdd0"}]"#;
    assert!(read(MARKED, marked).unwrap_err().contains("U+FDD0"));
    assert!(read(PLAIN, marked).is_ok());
}

#[test]
fn what_is_no_conversation_is_refused() {
    for (json, what) in [
        ("", "no JSON"),
        ("1", "neither a list of messages"),
        ("{}", "neither a list of messages"),
        (r#"{"prompt": "a"}"#, "neither a list of messages"),
        (r#"{"prompt": "a", "completion": []}"#, "stand in a list"),
        ("[]", "there is no message"),
        ("[1]", "message 0 is no object"),
    ] {
        let refused = read(PLAIN, json).unwrap_err();
        assert!(refused.contains(what), "{json}: {refused}");
    }
}

#[test]
fn messages_are_given_as_transformers_gives_them() {
    let keys = "{% for m in messages %}{{ m|tojson }}{% endfor %}{{ tools }}{{ documents }}{{ bos_token }}";
    let null = r#"{"messages": [{"role": "a", "content": null, "reasoning": "r", "thinking": ""}]}"#;
    let expected = r#"{"thinking": "", "role": "a", "reasoning": "r", "reasoning_content": ""}NoneNone<s>"#;
    assert_eq!(chat(keys).unwrap().text(null, false).unwrap().text, expected);
    let tools = r#"{"messages": [{"role": "a"}], "tools": [{"z": 1, "a": 2}]}"#;
    assert!(chat("{{ tools|tojson }}").unwrap().text(tools, false).unwrap().text == r#"[{"z": 1, "a": 2}]"#);
}

#[test]
fn templates_that_fail_or_do_not_end_say_so() {
    let failed = |template: &str| read(template, TALK).unwrap_err();
    assert!(failed("{{ raise_exception('roles must alternate') }}").contains("roles must alternate"));
    assert!(failed("{{ strftime_now('%Q') }}").contains("%Q"));
    let endless = "{% macro f(n) %}{% for i in range(100000) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}";
    for template in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{% for i in range(100000) %}{{ 'a' * 100000 }}{% endfor %}",
        endless,
    ] {
        let refused = failed(template);
        assert!(refused.contains("fuel") || refused.contains("recursion") || refused.contains("large"), "{refused}");
    }
    for template in ["{% include '/etc/passwd' %}", "{% import 'a' as b %}", "{% for %}", "{{", "{% endgeneration %}"] {
        assert!(failed(template).starts_with("chat_template: "), "{template}");
    }
    assert!(failed("\u{fdd1}").contains("U+FDD1"));
}

#[test]
fn spaces_and_dates_are_pythons() {
    let made = |template: &str| chat(template).unwrap().text(TALK, false).unwrap().text.into_owned();
    assert_eq!(made("{{ '\u{1c} a\u{1f}\u{85}'.strip() }}|{{ ' a\u{1d}'|trim }}|{{ 'aba'.lstrip('a') }}"), "a|a|ba");
    assert_eq!(made("{{ strftime_now('%Y') }}"), "2026");
    assert_eq!(made("{{ '<&>' }}"), "<&>");
}
