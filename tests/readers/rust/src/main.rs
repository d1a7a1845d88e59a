//! Reads the feeds that its arguments name with feed-rs, and prints what a program in Rust finds in them.

use std::{env, error::Error, fs::File, io::BufReader, path::Path};

use chrono::{DateTime, SecondsFormat, Utc};
use feed_rs::model::{Entry, Feed, Link, Text};
use feed_rs::parser;
use serde_json::{json, Map, Value};

/// Characters of a body.
const SHOWN: usize = 120;

fn main() -> Result<(), Box<dyn Error>> {
    let mut documents = Map::new();
    for argument in env::args().skip(1) {
        let path = Path::new(&argument);
        let feed = parser::parse(BufReader::new(File::open(path)?)).map_err(|failure| format!("{argument}: {failure}"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        documents.insert(name, document(&feed));
    }
    println!("{}", Value::Object(documents));
    Ok(())
}

fn document(feed: &Feed) -> Value {
    json!({
        "title": text(&feed.title),
        "links": hrefs(&feed.links),
        "updated": moment(&feed.updated),
        "language": feed.language.clone().unwrap_or_default(),
        "items": feed.entries.iter().map(item).collect::<Vec<_>>(),
    })
}

fn item(entry: &Entry) -> Value {
    let body = entry.content.as_ref().and_then(|content| content.body.as_deref()).unwrap_or_default();
    json!({
        "id": entry.id,
        "title": text(&entry.title),
        "link": opened(&entry.links),
        "links": hrefs(&entry.links),
        "published": moment(&entry.published),
        "updated": moment(&entry.updated),
        "authors": entry.authors.iter().map(|author| author.name.clone()).collect::<Vec<_>>(),
        "categories": entry.categories.iter().map(|category| category.term.clone()).collect::<Vec<_>>(),
        "language": entry.language.clone().unwrap_or_default(),
        "summary": text(&entry.summary),
        "content": body.chars().take(SHOWN).collect::<String>(),
    })
}

/// The link that a program of feed-rs opens: the first of rel="alternate", or without a rel.
fn opened(links: &[Link]) -> String {
    let alternate = |link: &&Link| link.rel.as_deref().is_none_or(|rel| rel == "alternate");
    links.iter().find(alternate).map(|link| link.href.clone()).unwrap_or_default()
}

fn hrefs(links: &[Link]) -> Vec<String> {
    links.iter().map(|link| link.href.clone()).collect()
}

fn moment(of: &Option<DateTime<Utc>>) -> String {
    of.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

fn text(of: &Option<Text>) -> String {
    of.as_ref().map(|text| text.content.clone()).unwrap_or_default()
}
