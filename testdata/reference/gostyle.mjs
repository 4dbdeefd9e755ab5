#!/usr/bin/env node
// Rewrites an export of the reference the way the chain's Go side writes one (swing_store_exports_handler.go): no
// artifactMode, files called <index>-<artifact name with other characters than [-_.a-zA-Z0-9] as '-'>, export data in the
// order of whole keys and with Go's JSON escapes.
//   node gostyle.mjs EXPORT_DIR NEW_DIR
import fs from 'node:fs';
import path from 'node:path';

const [from, to] = process.argv.slice(2);
const manifest = JSON.parse(fs.readFileSync(path.join(from, 'export-manifest.json'), 'utf8'));
fs.mkdirSync(to);

const goEscapes = { '<': '\\u003c', '>': '\\u003e', '&': '\\u0026', '\u2028': '\\u2028', '\u2029': '\\u2029' };
const goJSON = x => JSON.stringify(x).replace(/[<>&\u2028\u2029]/g, c => goEscapes[c]);

const entries = fs.readFileSync(path.join(from, manifest.data), 'utf8').split('\n').filter(line => line).map(line => JSON.parse(line));
const keyed = entries.map(entry => [Buffer.from(entry[0]), entry]).sort((a, b) => Buffer.compare(a[0], b[0]));
fs.writeFileSync(path.join(to, manifest.data), keyed.map(([, entry]) => `${goJSON(entry)}\n`).join(''));

const artifacts = manifest.artifacts.map(([name, file], index) => {
  const newFile = `${index}-${name.replace(/[^-_.a-zA-Z0-9]/gu, '-')}`;
  fs.copyFileSync(path.join(from, file), path.join(to, newFile));
  return [name, newFile];
});
const { blockHeight, data } = manifest;
fs.writeFileSync(path.join(to, 'export-manifest.json'), JSON.stringify({ blockHeight, data, artifacts }, null, 2));
