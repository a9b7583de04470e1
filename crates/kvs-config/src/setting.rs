//! The values of all keys with the place each was set: defaults, then the file, then the environment.
//!
//! Invariant: there is exactly one setting for each key of the table, in its order, valid for its kind.

use std::path::Path;

use crate::document::{Document, Entry};
use crate::error::{ConfigError, Place, echo};
use crate::keys::{KEYS, Key, find, nearest};
use crate::template::default_text;
use crate::value::{self, Value, Wrong};
use crate::variables::{SERVICE_LINK_HINT, is_service_link};

/// The value of one key.
#[derive(Debug)]
struct Setting {
    key: &'static Key,
    value: Value,
    place: Place,
}

/// The values of all keys.
#[derive(Debug)]
pub(crate) struct Settings(Vec<Setting>);

impl Settings {
    /// The settings that `text` (found at `path`) and the variables of `env` make.
    pub(crate) fn read(
        text: &str,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        host_name: &str,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self::defaults(host_name)?;
        settings.take_document(Document::new(text, path), path)?;
        settings.take_variables(env)?;
        Ok(settings)
    }

    /// The defaults are what the generated file says, so that the two cannot differ.
    fn defaults(host_name: &str) -> Result<Self, ConfigError> {
        let text = default_text(host_name);
        let mut document = Document::new(&text, Path::new("default"));
        let mut settings = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            let defect = || ConfigError::Table { key: key.name };
            let entry = document.next_entry()?.filter(|entry| entry.key == key.name).ok_or_else(defect)?;
            let value = value::read(&key.kind, &entry.value).map_err(|_| defect())?;
            settings.push(Setting { key, value, place: Place::Default });
        }
        Ok(Self(settings))
    }

    fn take_document(&mut self, mut document: Document<'_>, path: &Path) -> Result<(), ConfigError> {
        while let Some(Entry { key, value, line }) = document.next_entry()? {
            let place = |line| Place::Line { path: path.to_owned(), line };
            let Some((at, known)) = find(&key) else {
                return Err(ConfigError::UnknownKey {
                    place: place(line),
                    key: echo(&key),
                    nearest: nearest(&key),
                });
            };
            let setting = self.0.get_mut(at).ok_or(ConfigError::Table { key: known.name })?;
            if let Place::Line { line: first_line, .. } = setting.place {
                return Err(ConfigError::DuplicateKey { place: place(line), key: known.name, first_line });
            }
            setting.value = value::read(&known.kind, &value)
                .map_err(|wrong| refused(known, place(wrong.line.unwrap_or(line)), wrong))?;
            setting.place = place(line);
        }
        Ok(())
    }

    fn take_variables(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        for setting in &mut self.0 {
            let name = setting.key.variable();
            let Some(text) = env(&name) else { continue };
            let place = Place::Variable(name);
            let is_service_link = is_service_link(&text);
            setting.value =
                value::read(&setting.key.kind, &crate::document::Raw::Variable(text)).map_err(|wrong| {
                    let mut error = refused(setting.key, place.clone(), wrong);
                    if let (true, ConfigError::Value { got, .. }) = (is_service_link, &mut error) {
                        got.push_str(SERVICE_LINK_HINT);
                    }
                    error
                })?;
            setting.place = place;
        }
        Ok(())
    }

    /// The value of the key `name`.
    pub(crate) fn value(&self, name: &'static str) -> Result<&Value, ConfigError> {
        let defect = ConfigError::Table { key: name };
        find(name).and_then(|(at, _)| self.0.get(at)).map(|setting| &setting.value).ok_or(defect)
    }

    /// Whether the file or the environment says anything about the key `name`.
    pub(crate) fn is_set(&self, name: &'static str) -> Result<bool, ConfigError> {
        let defect = ConfigError::Table { key: name };
        let setting = find(name).and_then(|(at, _)| self.0.get(at)).ok_or(defect)?;
        Ok(setting.place != Place::Default)
    }

    /// The error that two keys do not fit together, placed at the first of them that was set.
    pub(crate) fn conflict(&self, names: [&'static str; 2], rule: String) -> ConfigError {
        let named =
            || names.iter().filter_map(|name| self.0.iter().find(|setting| setting.key.name == *name));
        match named().find(|setting| setting.place != Place::Default).or_else(|| named().next()) {
            Some(setting) => {
                ConfigError::Conflict { place: setting.place.clone(), key: setting.key.name, rule }
            }
            None => ConfigError::Table { key: names[0] },
        }
    }
}

fn refused(key: &Key, place: Place, wrong: Wrong) -> ConfigError {
    ConfigError::Value { place, key: key.name, expected: key.kind.expected(), got: wrong.got }
}
