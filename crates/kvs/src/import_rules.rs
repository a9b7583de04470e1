//! The rules of an import, as the text that its help ends with.

/// What an import does with every line, as `kvs import --help` states it. One line per paragraph: the terminal's width
/// breaks them.
pub(crate) const IMPORT_RULES: &str = "\
How keys are made (--key):
  * Every line is one JSON object and is stored whole, byte for byte. {field} stands for the text of that member: \
    strings as they are, numbers and booleans as written. {{ and }} are braces.
  * A '/' in a field is written %2F and a '%' is written %25, so that any percent-decoder gives the field back and two \
    different fields never become one key. Where two fields share a segment, as in '{a}-{b}', the character behind the \
    first is escaped in it too. Counted as escaped fields.
  * A field that is empty, null or missing is written '-' (--empty TEXT). A field that holds just this text is escaped, \
    to tell them apart. Counted as empty fields.
  * Two lines with one key: the last one wins and the earlier ones are in the key's history (--on-duplicate overwrite); \
    or further ones get a key of their own, KEY~2, KEY~3 and so on (number); or they are left out (skip). Counted as \
    repeated keys. Up to 7,340,032 different keys are compared, in at most 210 MiB (number: 420); beyond, overwrite \
    goes on and says that its count is a lower bound, number and skip stop.
  * A line is refused when it is no acceptable JSON object, when it is longer than 64 MiB, when a field is a list or an \
    object or comes twice, and when its key would break the rules of paths: a segment '.' or '..', a control \
    character, a first segment that begins with '_', more than 1,024 bytes or 64 segments.

Lines without --key:
  * They are those that `kvs export` writes: {\"path\",\"data\",\"uuid\",\"timestamp\",\"expires_at\"}. Of these, path \
    and data must be there; a \"ttl\" may be; any other member is refused.
  * A value keeps its remaining lifetime, in whole seconds, rounded up. One whose time is over is not stored and counted \
    as expired. An exported value without an expiry gets none here, whatever the node's default_ttl.

What is refused, and when it stops:
  * A refused line is reported with its number and its reason, the others go on, and the exit code is 1. The first 20 \
    are shown; --errors FILE takes all of them.
  * The import stops when the node is gone, refuses the caller, has no room, or has refused 1,000 lines. What was \
    stored stays, and the same import can be run again. An answer 429 or 503 is waited for and asked again.

Examples:
  kvs import cities.jsonl.gz --key 'cities/{country}/{admin1}/{name}' --on-duplicate number
  kvs export users/ | kvs import - --url http://127.0.0.1:8081";
