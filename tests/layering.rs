//! The module list of `src/lib.rs` is the layer list: a module uses only modules declared above it.
//!
//! Beyond the order, three rules keep the branches apart: only `sys` speaks to the kernel, the data branch
//! knows nothing of processes and shared memory, and unsafe code stays in the files listed here. Inside each module,
//! the files form no circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Who may name `nix` and `libc`. A name ending in `/` stands for the whole folder.
const KERNEL_FILES: &[&str] = &["sys/"];

/// Who may name constants of `libc`: open flags, so that a FIFO among the images cannot hang a worker, and errnos.
const CONSTANT_FILES: &[&str] =
    &["source/file.rs", "source/store.rs", "source/image_folder.rs", "source/image_folder/"];

/// Who may contain `unsafe`: the two layers that own memory and processes, each file that takes a right from them on the
/// strength of a message or of having just made the thing, and vector instructions.
const UNSAFE_FILES: &[&str] = &[
    "sys/",
    "shm/",
    "decode/jpeg/avx2.rs",
    "decode/webp/library.rs",
    "transform/sound/lanes.rs",
    "worker/learning.rs",
    "worker/serve.rs",
    "coordinator/act.rs",
    "coordinator/serve.rs",
    "coordinator/supervisor.rs",
    "loader/shared_source.rs",
    "loader/inline.rs",
    "loader/launch.rs",
    "loader/pool.rs",
    "source/table/shards.rs",
    "python/arrays.rs",
    "python/buffer.rs",
    "python/forks.rs",
    "python/dataset/leaf.rs",
    "python/dataset/objects.rs",
    "python/dataset/reader.rs",
    "python/memory.rs",
    "python/payloads.rs",
    "python/rows.rs",
    "python/slots.rs",
    "transform/vector.rs",
];

/// The data branch: from indices to rows of bytes.
const DATA_BRANCH: &[&str] = &[
    "buffer",
    "geometry",
    "pixel",
    "drawn",
    "rng",
    "sampler",
    "function",
    "decode",
    "tokenizer",
    "transform",
    "field",
    "source",
    "pipeline",
    "learn",
];

/// What the data branch must not name: everything that knows of processes or shared memory.
const TRANSPORT_BRANCH: &[&str] = &["sys", "shm", "protocol", "worker", "coordinator", "loader", "index", "python"];

/// Folders in which files may still form a circle.
const CIRCLES_ALLOWED: &[&str] = &[];

/// A source file: its path below `src/` with forward slashes, and its text.
struct File {
    path: String,
    text: String,
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    assert!(files.iter().any(|file| file.path == "lib.rs"), "no lib.rs under {}", src.display());

    let violations = violations(&files);

    assert!(violations.is_empty(), "the layers are broken:\n  {}", violations.join("\n  "));
}

#[test]
fn an_upward_use_is_caught() {
    let caught = violations_of("shm/arena.rs", "use crate::loader::Loader;");
    assert_eq!(caught, ["shm/arena.rs: `shm` uses `loader`, which src/lib.rs declares after it"]);
}

#[test]
fn an_upward_use_inside_a_group_is_caught() {
    let caught =
        violations_of("error.rs", "use crate::{\n    error::{Error, Result},\n    spec::{DType, FieldSpec},\n};");
    assert_eq!(caught, ["error.rs: `error` uses `spec`, which src/lib.rs declares after it"]);
}

#[test]
fn an_upward_use_through_super_is_caught() {
    let caught = violations_of("shm/arena.rs", "fn f() { super::super::loader::f() }");
    assert_eq!(caught, ["shm/arena.rs: `shm` uses `loader`, which src/lib.rs declares after it"]);
}

#[test]
fn a_use_through_the_crate_root_is_caught() {
    let caught = violations_of("shm/arena.rs", "fn f(loader: &crate::Loader) {}");
    assert_eq!(caught, ["shm/arena.rs: `crate::Loader` goes through the crate root; name its module instead"]);
}

#[test]
fn a_system_call_outside_sys_is_caught() {
    let caught = violations_of("shm/arena.rs", "use nix::unistd::close;");
    assert_eq!(caught, ["shm/arena.rs: names `nix`; only sys may"]);
}

#[test]
fn the_source_may_name_constants_of_libc_and_nothing_else() {
    assert_eq!(violations_of("source/image_folder.rs", "const FLAGS: i32 = libc::O_NONBLOCK;"), [""; 0]);
    for text in ["fn f() { libc::open() }", "use libc::{O_NONBLOCK, open};", "use libc::*;", "use libc as sys;"] {
        assert_eq!(
            violations_of("source/image_folder.rs", text),
            ["source/image_folder.rs: names `libc`; only sys may"],
            "{text}"
        );
    }
}

#[test]
fn shared_memory_in_the_data_branch_is_caught() {
    // `source` lies above `shm`, so the order alone would allow it.
    let caught = violations_of("source/mod.rs", "use crate::shm::Arena;");
    assert_eq!(caught, ["source/mod.rs: `source` uses `shm`, but the data branch knows nothing of it"]);
}

#[test]
fn unsafe_code_outside_its_files_is_caught() {
    let caught = violations_of("loader/mod.rs", "fn f() { unsafe { g() } }");
    assert_eq!(caught, ["loader/mod.rs: contains `unsafe`; it is not among the files that may"]);
}

#[test]
fn a_file_that_no_module_declares_is_caught() {
    let caught = violations_of("utils/mod.rs", "");
    assert_eq!(caught, ["utils/mod.rs: `utils` is not declared in src/lib.rs"]);
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = r##"
        //! See [`crate::loader::Loader`]; unsafe, libc.
        /* unsafe /* nested: use crate::loader; */ nix */
        const A: &str = "unsafe \" crate::loader";
        const B: &str = r#"a " use crate::loader; "#;
        const B2: &[u8] = br#"a " unsafe"#;
        const C: (char, u8) = ('"', b'\'');
        fn f<'a>(x: &'a str) -> &'a str { x }
    "##;
    assert_eq!(violations_of("error.rs", text), [""; 0]);
}

#[test]
fn downward_uses_and_local_modules_pass() {
    let text =
        "mod loader; use crate::{error::Error, sys}; use self::loader::f; use super::slot; fn f() { crate::spec::f() }";
    assert_eq!(violations_of("shm/arena.rs", text), [""; 0]);
}

#[test]
fn the_files_of_a_module_form_no_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let circles: Vec<String> = circles(&rust_files(&src))
        .into_iter()
        .filter(|(folder, _)| !CIRCLES_ALLOWED.contains(&folder.as_str()))
        .map(|(folder, circle)| format!("{folder}: {circle}"))
        .collect();
    assert!(circles.is_empty(), "files use each other in a circle:\n  {}", circles.join("\n  "));
}

#[test]
fn a_circle_of_files_is_caught() {
    for (pool, inline) in [
        ("use super::inline::Inline;", "use super::pool::growth;"),
        ("use crate::{error::Error, loader::inline::{self, Inline}};", "fn f() { crate::loader::pool::growth() }"),
        ("fn f() -> super::inline::Inline {}", "use super::{arena::Arena, pool::{growth, exhausted}};"),
    ] {
        let files = [("loader/mod.rs", "mod arena; mod inline; mod pool;"), ("loader/arena.rs", "")];
        let files = [&files[..], &[("loader/pool.rs", pool), ("loader/inline.rs", inline)]].concat();
        assert_eq!(circles_of(&files), ["loader: inline -> pool -> inline"], "{pool} {inline}");
    }
}

#[test]
fn a_circle_through_names_that_are_exported_again_is_caught() {
    let caught = circles_of(&[
        ("shm/mod.rs", "mod arena; mod slot; pub(crate) use self::{arena::Arena as Slots, slot::SlotRef};"),
        ("shm/arena.rs", "use super::SlotRef;"),
        ("shm/slot.rs", "use crate::shm::Slots;"),
    ]);
    assert_eq!(caught, ["shm: arena -> slot -> arena"]);
}

#[test]
fn a_circle_with_the_file_of_the_module_itself_is_caught() {
    for own in
        ["use self::places::Places;", "fn f() { places::check() }", "pub use self::places::Places; type P = Places;"]
    {
        let own = format!("mod places; pub trait Source {{}} {own}");
        let caught = circles_of(&[("source.rs", &own), ("source/places.rs", "use super::Source;")]);
        assert_eq!(caught, ["source: mod -> places -> mod"], "{own}");
    }
}

#[test]
fn a_folder_counts_as_one_file_of_the_folder_that_holds_it() {
    let files = [
        ("coordinator/mod.rs", "mod event; mod schedule;"),
        ("coordinator/event.rs", "use super::schedule::Schedule;"),
        ("coordinator/schedule/mod.rs", "mod parts; pub use self::parts::Schedule;"),
        ("coordinator/schedule/parts.rs", "use super::super::event::Event;"),
    ];
    assert_eq!(circles_of(&files), ["coordinator: event -> schedule -> event"]);
}

#[test]
fn declarations_exports_tests_and_other_folders_form_no_circle() {
    let files = [
        ("shm/mod.rs", "mod arena; mod slot; pub use self::{arena::Arena, slot::{self as slots, SlotRef}};"),
        (
            "shm/arena.rs",
            "use super::slot::SlotRef; use crate::source::arena::f; impl Arena { fn f(&self) { self.slot } }",
        ),
        (
            "shm/slot.rs",
            "#[cfg(test)] mod tests { use super::*; use crate::shm::Arena; fn f() { { super::arena::f() } } }",
        ),
        ("shm/slot/tests.rs", "use super::super::arena::Arena;"),
        ("source/mod.rs", "mod arena;"),
        ("source/arena.rs", "use crate::shm::slot::f;"),
    ];
    assert_eq!(circles_of(&files), [""; 0]);
}

fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files.iter().map(|&(path, text)| File { path: path.into(), text: text.into() }).collect();
    circles(&files).into_iter().map(|(folder, circle)| format!("{folder}: {circle}")).collect()
}

/// Checks one file against a small `lib.rs`.
fn violations_of(path: &str, text: &str) -> Vec<String> {
    let lib =
        "pub mod error; pub mod spec; pub(crate) mod sys; mod shm; pub mod source; mod loader; pub use loader::Loader;";
    violations(&[File { path: "lib.rs".into(), text: lib.into() }, File { path: path.into(), text: text.into() }])
}

/// Returns one line for each rule that a file breaks.
fn violations(files: &[File]) -> Vec<String> {
    let lib = files.iter().find(|file| file.path == "lib.rs").expect("a crate has a lib.rs");
    let order = declared_modules(&tokens(&lib.text));
    let mut found = Vec::new();
    for File { path, text } in files.iter().filter(|file| file.path != "lib.rs") {
        let tokens = tokens(text);
        for kernel in ["nix", "libc"] {
            let named = tokens.iter().enumerate().any(|(at, token)| {
                token == kernel && !(is_listed(path, CONSTANT_FILES) && is_constant_of_libc(&tokens[at..]))
            });
            if named && !is_listed(path, KERNEL_FILES) {
                found.push(format!("{path}: names `{kernel}`; only sys may"));
            }
        }
        if tokens.iter().any(|token| token == "unsafe") && !is_listed(path, UNSAFE_FILES) {
            found.push(format!("{path}: contains `unsafe`; it is not among the files that may"));
        }

        let module = path.split(['/', '.']).next().expect("split yields at least one part");
        let Some(layer) = order.iter().position(|name| name == module) else {
            found.push(format!("{path}: `{module}` is not declared in src/lib.rs"));
            continue;
        };
        for used in names_below_the_root(&tokens, depth(path)) {
            match order.iter().position(|name| *name == used.name) {
                Some(_) if DATA_BRANCH.contains(&module) && TRANSPORT_BRANCH.contains(&used.name.as_str()) => {
                    found.push(format!(
                        "{path}: `{module}` uses `{}`, but the data branch knows nothing of it",
                        used.name
                    ));
                }
                Some(other) if other > layer => {
                    found.push(format!("{path}: `{module}` uses `{}`, which src/lib.rs declares after it", used.name));
                }
                None if used.by_crate => {
                    let name = used.name;
                    found.push(format!("{path}: `crate::{name}` goes through the crate root; name its module instead"));
                }
                _ => {}
            }
        }
    }
    found
}

/// Returns each folder whose files use each other in a circle, with one of its circles. Tests may use anything.
///
/// A folder in it counts as one file, `mod` stands for the file that declares the others. Its declarations, and what it
/// exports again, are no uses; whoever uses a name that it exports again uses the file behind it.
fn circles(files: &[File]) -> Vec<(String, String)> {
    let is_test = |file: &&File| Path::new(&file.path).file_stem().is_some_and(|stem| stem == "tests");
    let modules: Vec<Module> = files.iter().filter(|file| !is_test(file)).map(Module::of).collect();
    let folders: BTreeSet<&[String]> =
        modules.iter().flat_map(|module| (1..module.name.len()).map(|len| &module.name[..len])).collect();
    let circle = |folder: &[String]| Some((folder.join("/"), circle(&uses_inside(folder, &modules))?));
    folders.into_iter().filter_map(circle).collect()
}

/// A file as a module: its path from the crate's root, and the paths from there that it names.
struct Module {
    name: Vec<String>,
    uses: Vec<Vec<String>>,
    /// What it exports of modules inside it: the name, and the path behind it.
    exports: Vec<(String, Vec<String>)>,
    /// The words of its code but for `use`.
    words: BTreeSet<String>,
}

impl Module {
    fn of(file: &File) -> Self {
        let path = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let name: Vec<String> = path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
        let tokens = without_tests(tokens(&file.text));
        let children = declared_modules(&tokens);
        let mut module = Self { name, uses: Vec::new(), exports: Vec::new(), words: BTreeSet::new() };
        let mut at = 0;
        while at < tokens.len() {
            let is_use = tokens[at] == "use";
            let is_export = is_use && at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            let start = at + usize::from(is_use);
            let Some((base, rest)) = module.base(&tokens, start, &children) else {
                let is_name = at == 0 || !["::", "."].contains(&tokens[at - 1].as_str());
                if is_name && !is_use {
                    module.words.insert(tokens[at].clone());
                }
                at += 1;
                continue;
            };
            let mut paths = Vec::new();
            at = paths_of(&tokens, rest, &base, &mut paths);
            for (name, path) in paths {
                if is_export && path.starts_with(&module.name) {
                    module.exports.push((name, path));
                } else {
                    module.uses.push(path);
                }
            }
        }
        module
    }

    /// Returns where a path that begins here starts to count, and its next name; none where no path of the crate begins.
    fn base(&self, tokens: &[String], at: usize, children: &[String]) -> Option<(Vec<String>, usize)> {
        let begins = at == 0 || tokens[at - 1] != "::";
        let leads_on = tokens.get(at + 1).is_some_and(|token| token == "::");
        if !begins || !leads_on {
            return None;
        }
        let supers = tokens[at..].chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
        match tokens[at].as_str() {
            "crate" => Some((Vec::new(), at + 2)),
            "self" => Some((self.name.clone(), at + 2)),
            "super" => Some((self.name[..self.name.len().checked_sub(supers)?].to_vec(), at + 2 * supers)),
            child if children.iter().any(|name| name == child) => Some((self.name.clone(), at)),
            _ => None,
        }
    }
}

/// Adds every path of the tree that begins here, each with the name that it is used under. Returns where the tree ends.
fn paths_of(tokens: &[String], at: usize, base: &[String], paths: &mut Vec<(String, Vec<String>)>) -> usize {
    match tokens.get(at).map(String::as_str) {
        Some("{") => {
            let mut at = at + 1;
            while tokens.get(at).is_some_and(|token| token != "}") {
                at = if tokens[at] == "," { at + 1 } else { paths_of(tokens, at, base, paths).max(at + 1) };
            }
            at + 1
        }
        Some(word) if word == "*" || word.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
            let path = if word == "self" { base.to_vec() } else { [base, &[word.to_owned()]].concat() };
            match tokens.get(at + 1).map(String::as_str) {
                Some("::") => paths_of(tokens, at + 2, &path, paths),
                Some("as") => {
                    paths.push((tokens[at + 2].clone(), path));
                    at + 3
                }
                _ => {
                    paths.push((path.last().cloned().unwrap_or_default(), path));
                    at + 1
                }
            }
        }
        // The arguments of a generic function.
        _ => {
            paths.push((base.last().cloned().unwrap_or_default(), base.to_vec()));
            at
        }
    }
}

/// Leaves out the modules that only tests are built with.
fn without_tests(mut tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    while let Some(start) = tokens.windows(MARK.len()).position(|window| window == MARK) {
        let (mut depth, mut end) = (0, start + MARK.len());
        while let Some(token) = tokens.get(end) {
            depth += i32::from(token == "{") - i32::from(token == "}");
            end += 1;
            if depth == 0 && (token == "}" || token == ";") {
                break;
            }
        }
        tokens.drain(start..end);
    }
    tokens
}

/// Returns which files of a folder use which others of it.
fn uses_inside(folder: &[String], modules: &[Module]) -> BTreeMap<String, BTreeSet<String>> {
    const OWN: &str = "mod";
    let inside = |path: &[String]| path.get(folder.len()).filter(|_| path.starts_with(folder)).cloned();
    let files: BTreeSet<String> = modules.iter().filter_map(|module| inside(&module.name)).collect();
    let own = modules.iter().find(|module| module.name == folder);
    let exports: BTreeMap<&str, String> = own
        .iter()
        .flat_map(|own| &own.exports)
        .filter_map(|(name, path)| Some((name.as_str(), inside(path)?)))
        .collect();
    let target = |path: &Vec<String>| {
        let name = if path == folder { OWN.to_owned() } else { inside(path)? };
        Some(if files.contains(&name) {
            name
        } else {
            exports.get(name.as_str()).cloned().unwrap_or_else(|| OWN.into())
        })
    };
    let mut uses = BTreeMap::new();
    for module in modules.iter().filter(|module| module.name.starts_with(folder)) {
        let from = inside(&module.name).unwrap_or_else(|| OWN.into());
        let mut to: BTreeSet<String> = module.uses.iter().filter_map(target).collect();
        if module.name == folder {
            to.extend(exports.iter().filter(|(name, _)| module.words.contains(**name)).map(|(_, file)| file.clone()));
        }
        to.remove(&from);
        uses.entry(from).or_insert_with(BTreeSet::new).extend(to);
    }
    uses
}

/// Returns a circle, if there is one.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    // What uses nothing that is left is in no circle.
    let mut left: BTreeSet<&String> = uses.keys().collect();
    let uses_left =
        |name: &String, left: &BTreeSet<&String>| uses[name].iter().find(|used| left.contains(used)).cloned();
    while let Some(done) = left.iter().find(|name| uses_left(name, &left).is_none()).copied() {
        left.remove(done);
    }
    let mut way: Vec<String> = vec![(*left.first()?).clone()];
    loop {
        let next = uses_left(way.last()?, &left)?;
        let before = way.iter().position(|name| *name == next);
        way.push(next);
        if let Some(start) = before {
            return Some(way[start..].join(" -> "));
        }
    }
}

fn is_listed(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| if entry.ends_with('/') { path.starts_with(entry) } else { path == *entry })
}

/// Tells whether these tokens begin with something like `libc::O_NONBLOCK`.
fn is_constant_of_libc(tokens: &[String]) -> bool {
    let [libc, path, name, ..] = tokens else { return false };
    libc == "libc" && path == "::" && !name.contains(|c: char| c.is_lowercase() || "{*".contains(c))
}

/// Returns how many `super`s lead from a file's module to the crate's root.
fn depth(path: &str) -> usize {
    let parts = path.matches('/').count() + 1;
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Returns the modules that `lib.rs` declares, in order.
fn declared_modules(lib: &[String]) -> Vec<String> {
    lib.windows(3).filter(|three| three[0] == "mod" && three[2] == ";").map(|three| three[1].clone()).collect()
}

/// A name that a file looks up in the crate's root.
struct RootName {
    name: String,
    /// Whether the path began with `crate`, which is certain, or with `super`s, which an inline module shifts.
    by_crate: bool,
}

/// Returns each `name` of `crate::name`, of `crate::{name, ..}` and of the same behind `depth` `super`s.
fn names_below_the_root(tokens: &[String], depth: usize) -> Vec<RootName> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let by_crate = tokens[at] == "crate";
        let supers = tokens[at..].chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
        let rest = match (by_crate, supers) {
            (true, _) if tokens.get(at + 1).is_some_and(|token| token == "::") => at + 2,
            (_, supers) if supers > 0 => {
                at += 2 * supers;
                if supers != depth {
                    continue;
                }
                at
            }
            _ => {
                at += 1;
                continue;
            }
        };
        names.extend(first_names(&tokens[rest..]).into_iter().map(|name| RootName { name, by_crate }));
        at = rest.max(at);
    }
    names
}

/// Returns the first name of a path, or of each path of a `{group}`.
fn first_names(tokens: &[String]) -> Vec<String> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return vec![first.clone()];
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut starts_path = false;
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if starts_path && depth == 1 => names.push(token.clone()),
            _ => {}
        }
        starts_path = depth == 1 && (token == "{" || token == ",");
        if depth == 0 {
            break;
        }
    }
    names
}

/// Splits Rust source into words, `::` and single characters, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let next = rest.get(1).copied().unwrap_or(' ');
        at += match rest[0] {
            '/' if next == '/' => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            '/' if next == '*' => block_comment(rest),
            '"' => quoted(rest, '"'),
            'r' if next == '"' || (next == '#' && raw_string(rest) > 0) => raw_string(rest),
            'b' if next == 'r' && raw_string(&rest[1..]) > 0 => 1 + raw_string(&rest[1..]),
            'b' if next == '"' || next == '\'' => 1 + quoted(&rest[1..], next),
            // A quote begins a character literal, or else a lifetime.
            '\'' if next == '\\' || rest.get(2) == Some(&'\'') => quoted(rest, '\''),
            ':' if next == ':' => {
                tokens.push("::".into());
                2
            }
            c if c == '_' || c.is_alphanumeric() => {
                let word: String = rest.iter().take_while(|&&c| c == '_' || c.is_alphanumeric()).collect();
                let length = word.chars().count();
                tokens.push(word);
                length
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.into());
                }
                1
            }
        };
    }
    tokens
}

/// Returns the length of the block comment that starts here; they nest.
fn block_comment(text: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of the literal that starts with this quote, escapes included.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Returns the length of the raw string that starts with this `r`, 0 if none does.
fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|&&c| c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &text[hashes + 2..];
    body.windows(end.len()).position(|window| window == end).map_or(text.len(), |at| hashes + 2 + at + end.len())
}

/// Reads every Rust file under `root`, in a stable order.
fn rust_files(root: &Path) -> Vec<File> {
    let mut folders = vec![root.to_path_buf()];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(root).expect("found under it").to_string_lossy().replace('\\', "/");
    paths.iter().map(|path| File { path: relative(path), text: fs::read_to_string(path).expect("UTF-8") }).collect()
}
