package stages

// StoreFile is the database of a swing-store, in its state directory.
const StoreFile = "swingstore.sqlite"

// CreateStatements are the statements of a new swing-store, in the order in which the reference runs them. SQLite keeps their text,
// white space and comments included, as sqlite_schema.sql; these are that text (sources: swingStore.js, kvStore.js, transcriptStore.js,
// snapStore.js, bundleStore.js of @agoric/swing-store 0.10.0, without IF NOT EXISTS, which SQLite drops).
var CreateStatements = []string{
	`CREATE TABLE pendingExports (
      key TEXT,
      value TEXT,
      PRIMARY KEY (key)
    )`,
	`CREATE TABLE kvStore (
      key TEXT,
      value TEXT,
      PRIMARY KEY (key)
    )`,
	`CREATE TABLE transcriptItems (
      vatID TEXT,
      position INTEGER,
      item TEXT,
      incarnation INTEGER,
      PRIMARY KEY (vatID, position)
    )`,
	`CREATE TABLE transcriptSpans (
      vatID TEXT,
      startPos INTEGER, -- inclusive
      endPos INTEGER, -- exclusive
      hash TEXT, -- cumulative hash of this item and previous cumulative hash
      isCurrent INTEGER CHECK (isCurrent = 1),
      incarnation INTEGER,
      PRIMARY KEY (vatID, startPos),
      UNIQUE (vatID, isCurrent)
    )`,
	`CREATE INDEX currentTranscriptIndex
    ON transcriptSpans (vatID, isCurrent)
  `,
	`CREATE TABLE snapshots (
      vatID TEXT,
      snapPos INTEGER,
      inUse INTEGER CHECK(inUse = 1),
      hash TEXT,
      uncompressedSize INTEGER,
      compressedSize INTEGER,
      compressedSnapshot BLOB,
      PRIMARY KEY (vatID, snapPos),
      UNIQUE (vatID, inUse)
    )`,
	`CREATE TABLE bundles (
      bundleID TEXT,
      bundle BLOB,
      PRIMARY KEY (bundleID)
    )`,
}
