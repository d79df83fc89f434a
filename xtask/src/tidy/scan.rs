//! A view of Rust source in which comments and literals are blank, so that a search finds code only.

/// Replaces what stands in comments, strings and character literals by spaces; lines stay lines.
pub(super) fn blank(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut scanner = Scanner {
        letters: &letters,
        at: 0,
        out: String::with_capacity(text.len()),
    };
    scanner.run();
    scanner.out
}

/// The number of lines that are not part of a `#[cfg(test)]` item.
pub(super) fn non_test_lines(code: &str) -> usize {
    let total = code.lines().count();
    let mut rest = code;
    let mut in_tests = 0;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let item = &rest[start..];
        let end = item_end(item);
        in_tests += item[..end].lines().count();
        rest = &item[end..];
    }
    total - in_tests.min(total)
}

/// Every attribute `#[name…]` or `#![name…]` with its line (from 1) and its whole text in `source`.
///
/// `code` is the blank view of `source`; the attribute's end is found in it, where brackets inside
/// of literals do not count.
pub(super) fn attributes<'a>(source: &'a str, code: &str, name: &str) -> Vec<(usize, &'a str)> {
    let code: Vec<char> = code.chars().collect();
    // Offsets in characters of the view are offsets in characters of the source.
    let offsets: Vec<usize> = source
        .char_indices()
        .map(|(offset, _)| offset)
        .chain([source.len()])
        .collect();
    let mut found = Vec::new();
    let mut line = 1;
    for (at, letter) in code.iter().enumerate() {
        if *letter == '\n' {
            line += 1;
        }
        if *letter != '#' {
            continue;
        }
        let open = if code.get(at + 1) == Some(&'!') {
            at + 2
        } else {
            at + 1
        };
        if code.get(open) != Some(&'[') || !word_at(&code, open + 1, name) {
            continue;
        }
        let end = closing(&code, open, '[', ']');
        found.push((line, &source[offsets[at]..offsets[end]]));
    }
    found
}

/// The lines (from 1) on which `word` stands as a word of its own.
pub(super) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let has_word = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .any(|w| w == word)
    };
    code.lines()
        .enumerate()
        .filter(|(_, line)| has_word(line))
        .map(|(at, _)| at + 1)
        .collect()
}

fn word_at(code: &[char], at: usize, word: &str) -> bool {
    let mut end = at;
    for letter in word.chars() {
        if code.get(end) != Some(&letter) {
            return false;
        }
        end += 1;
    }
    !code
        .get(end)
        .is_some_and(|letter| letter.is_alphanumeric() || *letter == '_')
}

/// One past the bracket that closes the one at `open`, or the end of the text.
fn closing(code: &[char], open: usize, opens: char, closes: char) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in code.iter().enumerate().skip(open) {
        if *letter == opens {
            depth += 1;
        } else if *letter == closes {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

/// One past the item that starts with an attribute: a `;` outside of brackets or a closed block.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, letter) in item.char_indices() {
        match letter {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && letter == '}' {
                    return offset + 1;
                }
            }
            ';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    item.len()
}

struct Scanner<'a> {
    letters: &'a [char],
    at: usize,
    out: String,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(letter) = self.peek(0) {
            match letter {
                '/' if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|letter| letter != '\n') {
                        self.hide();
                    }
                }
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                'r' if !self.after_word() && self.raw_hashes().is_some() => self.raw_string(),
                '\'' => self.quote(),
                _ => self.show(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn show(&mut self) {
        self.out.extend(self.peek(0));
        self.at += 1;
    }

    fn hide(&mut self) {
        self.out.extend(
            self.peek(0)
                .map(|letter| if letter == '\n' { '\n' } else { ' ' }),
        );
        self.at += 1;
    }

    /// Whether the letter at hand goes on with a word; `br"…"` and `cr"…"` are strings all the same.
    fn after_word(&self) -> bool {
        let word = |back: usize| {
            self.at
                .checked_sub(back)
                .and_then(|at| self.letters.get(at))
                .is_some_and(|letter| letter.is_alphanumeric() || *letter == '_')
        };
        let prefix = self.at.checked_sub(1).and_then(|at| self.letters.get(at));
        match prefix {
            Some('b' | 'c') => word(2),
            _ => word(1),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(letter) = self.peek(0) {
            match (letter, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.hide();
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.hide();
                }
                _ => {}
            }
            self.hide();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.show();
        while let Some(letter) = self.peek(0) {
            match letter {
                '"' => return self.show(),
                '\\' => {
                    self.hide();
                    self.hide();
                }
                _ => self.hide(),
            }
        }
    }

    /// The number of hashes, where a raw string starts here.
    fn raw_hashes(&self) -> Option<usize> {
        let after = self.letters.get(self.at + 1..).unwrap_or_default();
        let hashes = after.iter().take_while(|letter| **letter == '#').count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self) {
        let hashes = self.raw_hashes().unwrap_or(0);
        for _ in 0..hashes + 2 {
            self.show();
        }
        while let Some(letter) = self.peek(0) {
            let ends = letter == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if ends {
                for _ in 0..=hashes {
                    self.show();
                }
                return;
            }
            self.hide();
        }
    }

    /// A character literal is hidden, a lifetime is shown.
    fn quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.show();
        }
        self.show();
        while let Some(letter) = self.peek(0) {
            match letter {
                '\'' => return self.show(),
                '\\' => {
                    self.hide();
                    self.hide();
                }
                _ => self.hide(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let cases = [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            ("f(\"unsafe \\\" {\")", "f(\"           \")"),
            ("r#\"a\"b\"# c", "r#\"   \"# c"),
            ("br\"x\" c", "br\" \" c"),
            ("'{' 'a 'static", "' ' 'a 'static"),
            ("'\\'' x", "'  ' x"),
            ("for r in x", "for r in x"),
        ];
        for (source, view) in cases {
            assert_eq!(blank(source), view, "{source}");
        }
    }

    #[test]
    fn test_items_do_not_count() {
        let code = "mod a;\n#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\nmod more {\n fn x() {}\n}\n";
        assert_eq!(non_test_lines(code), 2);
        assert_eq!(non_test_lines("fn f() {}\nfn g() {}\n"), 2);
        assert_eq!(
            non_test_lines("#[cfg(test)]\nuse a::{b, c};\nfn g() {}\n"),
            1
        );
    }

    #[test]
    fn attributes_are_found_whole() {
        let source = "#[allow(x, reason = \"]\")]\nfn f() {}\n// #[allow(y)]\n#![allow(\n  z\n)]\n#[allowed]";
        let found = attributes(source, &blank(source), "allow");
        assert_eq!(
            found,
            [
                (1, "#[allow(x, reason = \"]\")]"),
                (4, "#![allow(\n  z\n)]")
            ]
        );
    }

    #[test]
    fn words_are_whole_words() {
        assert_eq!(
            lines_with_word("unsafe_code\nunsafe {\nlet x;\n(unsafe)", "unsafe"),
            [2, 4]
        );
    }
}
