import { parse, type ParsedScript } from 'unbash';

/** Past these a script counts as not understood: reading it must take neither long nor all of the stack. */
const MAX_CHARS = 65_536;
const MAX_SIGNS = 5_000;

/** A shell script as a tree; one that cannot be read has errors and no commands. */
export function parseShell(text: string): ParsedScript {
  if (text.length > MAX_CHARS || (text.match(/[;|&(`{]/g)?.length ?? 0) > MAX_SIGNS) return UNREAD;
  try {
    return parse(text);
  } catch {
    return UNREAD;
  }
}

const UNREAD = { ...parse(''), errors: [{ message: 'too much', pos: 0 }] } as unknown as ParsedScript;
