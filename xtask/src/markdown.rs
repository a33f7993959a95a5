//! Reads the links, anchors and code spans of a Markdown page.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The parts of a page that refer to other places.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) links: Vec<Link>,
    /// The anchors of its headings, as GitHub and mdBook form them.
    pub(crate) anchors: BTreeSet<String>,
    /// Code spans outside of code blocks, with their lines.
    pub(crate) code: Vec<(usize, String)>,
}

/// One link or image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) to: String,
    pub(crate) line: usize,
    /// Where the whole link stands in the page.
    pub(crate) span: Range<usize>,
}

pub(crate) fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut taken = BTreeMap::new();
    let mut heading: Option<String> = None;
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    for (event, span) in Parser::new_ext(text, options).into_offset_iter() {
        let line = 1 + text.get(..span.start).unwrap_or_default().matches('\n').count();
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Link { to: dest_url.into_string(), line, span });
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                page.anchors.insert(anchor(&heading.take().unwrap_or_default(), &mut taken));
            }
            Event::Text(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::Code(code) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
                page.code.push((line, code.into_string()));
            }
            Event::Start(_)
            | Event::End(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    page
}

/// Letters, digits, `-` and `_` in lower case, `-` for a space, and a number for a heading that was there before.
fn anchor(heading: &str, taken: &mut BTreeMap<String, u32>) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' '));
    let anchor: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>();
    let anchor = anchor.to_lowercase();
    let count = taken.entry(anchor.clone()).or_default();
    *count += 1;
    if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_not_links() {
        let page = read(
            "[a](b.md)\n\n```\n[no](c.md)\n```\n`[no](d.md)`\n\n| x |\n|---|\n| ![e](f.svg) |\n\n[g]\n\n[g]: h.md\n",
        );
        let links: Vec<_> = page.links.iter().map(|link| (link.to.as_str(), link.line)).collect();
        assert_eq!(links, [("b.md", 1), ("f.svg", 10), ("h.md", 12)]);
        assert_eq!(page.code, [(6, "[no](d.md)".to_owned())]);
    }

    #[test]
    fn anchors_are_those_of_github() {
        let page = read("# What `run` does, and why?\n\n## Limits\n\n## Limits\n\n## A – b_c\n");
        let anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["a--b_c", "limits", "limits-1", "what-run-does-and-why"]);
    }
}
