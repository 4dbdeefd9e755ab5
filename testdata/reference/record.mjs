#!/usr/bin/env node
// Records what the reference makes of one store: every export, every import of those exports. Layout in ../README.md.
//   node record.mjs STATE_DIR OUT_DIR [--go-style] [--repair]
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import sqlite3 from 'better-sqlite3';
import { dump } from './dump.mjs';

const [state, out, ...flags] = process.argv.slice(2);
const here = import.meta.dirname;
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'record-'));
const exportModes = ['none', 'operational', 'replay', 'archival', 'debug'];
const importModes = ['default', ...exportModes];
const expected = { export: {}, import: {} };

// The reference opens stores for writing: each run gets a copy of its own.
const copyOf = dir => {
  const copy = path.join(work, 'state');
  fs.rmSync(copy, { recursive: true, force: true });
  fs.cpSync(dir, copy, { recursive: true });
  return copy;
};
const freshDir = dir => {
  fs.rmSync(dir, { recursive: true, force: true });
  fs.mkdirSync(dir, { recursive: true });
  return dir;
};

// stderr is three parts: `error running export-kernel-db: (Error#1)`, `Error#1: MESSAGE` with every quotation mark around a value
// left out, and the stack, whose first line is `Error: MESSAGE` as it was thrown.
const messageOf = stderr => {
  const m = /^[A-Za-z]*Error: (.*)$/m.exec(stderr);
  if (!m) throw Error(`no error message in: ${stderr}`);
  return m[1];
};
const reference = (command, flagValues) => {
  const args = [command, ...Object.entries(flagValues).map(([k, v]) => `--${k}=${v}`)];
  const { status, stderr } = spawnSync(path.join(here, 'ref-swingport'), args, { encoding: 'utf8' });
  return status === 0 ? { rc: 0 } : { rc: status, error: messageOf(stderr) };
};
const writeDump = (file, stateDir) => {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let text = '';
  for (const line of dump(path.join(stateDir, 'swingstore.sqlite'))) text += `${line}\n`;
  fs.writeFileSync(file, text);
};

const exportAll = () => {
  for (const mode of exportModes) {
    for (const data of ['all', 'skip']) {
      const name = `${mode}-${data}`;
      const dir = freshDir(path.join(out, 'export', name));
      const result = reference('export', { 'state-dir': copyOf(state), 'export-dir': dir, 'artifact-mode': mode, 'export-data-mode': data });
      if (result.rc) fs.rmSync(dir, { recursive: true }); // the reference leaves what it had written
      expected.export[name] = result;
    }
  }
};
const importOne = (name, dir, mode) => {
  const stateDir = freshDir(path.join(work, 'new'));
  const result = reference('import', { 'state-dir': stateDir, 'export-dir': dir, ...(mode === 'default' ? {} : { 'artifact-mode': mode }) });
  if (!result.rc) writeDump(path.join(out, 'import', `${name}.txt`), stateDir);
  expected.import[name] = result;
};
const importAll = () => {
  for (const from of exportModes) {
    if (expected.export[`${from}-all`].rc) continue;
    for (const mode of importModes) importOne(`${from}-${mode}`, path.join(out, 'export', `${from}-all`), mode);
  }
};

const goStyle = () => {
  const dir = path.join(out, 'export', 'go-style');
  const { status, stderr } = spawnSync(process.execPath, [path.join(here, 'gostyle.mjs'), path.join(out, 'export', 'archival-all'), dir], { encoding: 'utf8' });
  if (status) throw Error(stderr);
  for (const mode of ['default', 'archival']) importOne(`go-style-${mode}`, dir, mode);
};

// A store that lost its historical span and snapshot rows, and what repair-metadata makes of it.
const repair = () => {
  const dir = freshDir(path.join(out, 'repair'));
  const stateDir = copyOf(state);
  const file = path.join(stateDir, 'swingstore.sqlite');
  let db = sqlite3(file);
  db.exec('DELETE FROM transcriptSpans WHERE isCurrent IS NULL; DELETE FROM snapshots WHERE inUse IS NULL; VACUUM');
  const height = db.prepare(`SELECT value FROM kvStore WHERE key = 'host.height'`).pluck().get();
  db.close();
  fs.copyFileSync(file, path.join(dir, 'swingstore.sqlite'));
  expected.repair = reference('import', {
    'state-dir': stateDir,
    'export-dir': path.join(out, 'export', 'archival-all'),
    'artifact-mode': 'none',
    'export-data-mode': 'repair-metadata',
    'check-block-height': height,
  });
  db = sqlite3(file); // the reference leaves the store in WAL mode
  db.pragma('journal_mode=delete');
  db.close();
  writeDump(path.join(dir, 'repaired.txt'), stateDir);
};

freshDir(out);
exportAll();
importAll();
if (flags.includes('--go-style')) goStyle();
if (flags.includes('--repair')) repair();
fs.writeFileSync(path.join(out, 'expected.json'), `${JSON.stringify(expected, null, 1)}\n`);
fs.rmSync(work, { recursive: true });
