import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/dev/package-root.js';

/** A file of the project as text. */
export const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8');

/** All files below a folder of the project. */
export const filesBelow = (folder: string): string[] =>
  readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' }).map(
    (name) => `${folder}/${name}`,
  );

export const unique = (names: readonly string[]): string[] => [...new Set(names)].sort();

/** What the first group of a pattern finds in a text, sorted, each once. */
export const all = (pattern: RegExp, text: string): string[] =>
  unique([...text.matchAll(pattern)].map(([, name = '']) => name));

/** The part of a document from one mark to the next; empty without the first. */
export const part = (text: string, from: string, to: string): string =>
  text.split(from)[1]?.split(to)[0] ?? '';

/** README, ARCHITECTURE and all of docs. */
export const documents: readonly { name: string; text: string }[] = [
  'README.md',
  'ARCHITECTURE.md',
  ...filesBelow('docs').filter((name) => name.endsWith('.md')),
].map((name) => ({ name, text: read(name) }));

/** The same as one text. */
export const allDocuments: string = documents.map(({ text }) => text).join('\n');

export const sourceFiles: readonly string[] = filesBelow('src').filter((name) => name.endsWith('.ts'));
