//! The module list of `src/lib.rs` is the layer list: a module uses only modules declared above it.
//!
//! Beyond the order, three rules keep the branches apart: only `sys` speaks to the kernel, the data branch
//! knows nothing of processes and shared memory, and unsafe code stays in the files listed here.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Who may name `nix` and `libc`. A name ending in `/` stands for the whole folder.
const KERNEL_FILES: &[&str] = &["sys/"];

/// Who may name constants of `libc`: open flags, so that a FIFO among the images cannot hang a worker, and errnos.
const CONSTANT_FILES: &[&str] = &["source/file.rs", "source/image_folder.rs", "source/image_folder/"];

/// Who may contain `unsafe`: the two layers that own memory and processes, each file that takes a right from them on the
/// strength of a message or of having just made the thing, and vector instructions.
const UNSAFE_FILES: &[&str] = &[
    "sys/",
    "shm/",
    "decode/jpeg/avx2.rs",
    "worker/serve.rs",
    "coordinator/serve.rs",
    "coordinator/supervisor.rs",
    "loader/arrays.rs",
    "loader/inline.rs",
    "loader/launch.rs",
    "loader/pool.rs",
    "python/buffer.rs",
    "python/memory.rs",
    "python/rows.rs",
    "transform/vector.rs",
];

/// The data branch: from indices to rows of bytes.
const DATA_BRANCH: &[&str] = &["geometry", "rng", "sampler", "source", "decode", "transform", "pipeline"];

/// What the data branch must not name: everything that knows of processes or shared memory.
const TRANSPORT_BRANCH: &[&str] = &["sys", "shm", "protocol", "worker", "coordinator", "loader", "python"];

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
