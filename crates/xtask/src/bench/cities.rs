//! The cities of the world as keys and values: real texts, for the disk figure.
//!
//! The keys are those of the tutorial with the line number added, so that no two lines share one and none is left out.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A file that unpacks to more than this is not the list of cities.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// One line of the file.
pub(crate) struct City {
    /// The path as it stands in JSON, without quotes.
    pub(crate) path: String,
    /// The line as it is.
    pub(crate) value: String,
}

/// Reads a file of one JSON object a line; `.gz` is unpacked by gzip.
///
/// # Errors
///
/// The file cannot be read, or a line is no object.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<City>> {
    let bytes = if file.extension().is_some_and(|extension| extension == "gz") {
        let output =
            Command::new("gzip").arg("-dc").arg(file).output().context("gzip could not be started")?;
        if !output.status.success() {
            bail!("gzip failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.stdout
    } else {
        std::fs::read(file).with_context(|| format!("{} could not be read", file.display()))?
    };
    if bytes.len() > MAX_BYTES {
        bail!("{} holds more than {MAX_BYTES} bytes", file.display());
    }
    let text = String::from_utf8(bytes).context("the cities are not UTF-8")?;
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| city(number, line))
        .collect()
}

fn city(number: u64, line: &str) -> anyhow::Result<City> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("line {number} is no JSON"))?;
    let segment = |field: &str| {
        let text = value.get(field).and_then(Value::as_str).unwrap_or_default().replace(['/', '\\'], "-");
        if text.is_empty() { "-".to_owned() } else { text }
    };
    let path = format!("cities/{}/{}/{}/{number}", segment("country"), segment("admin1"), segment("name"));
    let quoted = serde_json::to_string(&path)?;
    let path = quoted.trim_matches('"').to_owned();
    Ok(City { path, value: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_empty_or_hold_a_slash_still_give_one_segment_each() {
        let city = city(7, r#"{"name":"A/B \"C\"","country":"XX","admin1":""}"#).unwrap();
        assert_eq!(city.path, r#"cities/XX/-/A-B \"C\"/7"#);
        let path: String = serde_json::from_str(&format!("\"{}\"", city.path)).unwrap();
        assert_eq!(path.split('/').count(), 5);
    }

    #[test]
    fn packed_and_plain_files_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("cities.jsonl");
        std::fs::write(&plain, "{\"name\":\"A\",\"country\":\"XX\",\"admin1\":\"1\"}\n{\"name\":\"B\"}\n")
            .unwrap();
        let packed = Command::new("gzip").arg("-k").arg(&plain).status().unwrap();
        assert!(packed.success());
        let paths = |file: &Path| read(file).unwrap().into_iter().map(|city| city.path).collect::<Vec<_>>();
        assert_eq!(paths(&plain), ["cities/XX/1/A/1", "cities/-/-/B/2"]);
        assert_eq!(paths(&plain), paths(&folder.path().join("cities.jsonl.gz")));
        std::fs::write(&plain, "no json\n").unwrap();
        assert!(read(&plain).is_err());
    }
}
