#!/usr/bin/env node
// Prints what a swing-store holds as canonical text, one row a line: two stores with the same text are logically equal.
// Dump in ../testdata.go prints the same text; the format is specified there.
//   node dump.mjs STATE_DIR
import fs from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import sqlite3 from 'better-sqlite3';

const sha256 = b => createHash('sha256').update(b).digest('hex');

const printable = b => b.length <= 200 && b.every(c => c >= 0x20 && c <= 0x7e && c !== 0x27);

const formatValue = (type, bytes) => {
  switch (type) {
    case 'null':
      return 'null';
    case 'integer':
    case 'real':
      return `${type}:${bytes}`;
    default:
      return type === 'text' && printable(bytes) ? `'${bytes}'` : `${type}:${bytes.length}:${sha256(bytes)}`;
  }
};

const pragmas = ['encoding', 'page_size', 'auto_vacuum', 'user_version', 'application_id', 'journal_mode'];

const tables = {
  pendingExports: 'key value',
  kvStore: 'key value',
  transcriptItems: 'vatID position item incarnation',
  transcriptSpans: 'vatID startPos endPos hash isCurrent incarnation',
  snapshots: 'vatID snapPos inUse hash uncompressedSize compressedSize compressedSnapshot',
  bundles: 'bundleID bundle',
};
const primaryKeyLength = { pendingExports: 1, kvStore: 1, transcriptItems: 2, transcriptSpans: 2, snapshots: 2, bundles: 1 };

export function* dump(file) {
  const db = sqlite3(file, { readonly: true });
  try {
    for (const p of pragmas) yield `pragma ${p} ${db.pragma(p, { simple: true })}`;
    for (const { type, name, tbl_name: table, sql } of db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid').iterate()) {
      yield `schema ${type} ${name} on ${table}: ${sql === null ? 'null' : JSON.stringify(sql)}`;
    }
    for (const [table, list] of Object.entries(tables)) {
      if (!db.prepare(`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?`).get(table)) continue;
      const columns = list.split(' ');
      const select = columns.map(c => `typeof(${c}), CAST(${c} AS BLOB)`).join(', ');
      const order = columns.slice(0, primaryKeyLength[table]).join(', ');
      for (const row of db.prepare(`SELECT ${select} FROM ${table} ORDER BY ${order}`).raw().iterate()) {
        const values = columns.map((_, i) => formatValue(row[2 * i], row[2 * i + 1]));
        if (table === 'snapshots' && row[12] === 'blob') {
          const raw = zlib.gunzipSync(row[13]);
          values[6] = `gunzip:${raw.length}:${sha256(raw)}`;
          if (values[5] === `integer:${row[13].length}`) values[5] = 'right';
        }
        yield `${table} ${values.join(' ')}`;
      }
    }
  } finally {
    db.close();
  }
}

if (import.meta.url === `file://${fs.realpathSync(process.argv[1])}`) {
  let text = '';
  for (const line of dump(path.join(process.argv[2], 'swingstore.sqlite'))) text += `${line}\n`;
  fs.writeSync(1, text);
}
