import type { Assignment, CommandArgument, DoubleQuotedChild, Word, WordPart } from 'unbash';

/** A word of a command as far as it is known before it runs. */
export interface ShellWord {
  /** The whole word; of an open one what it begins with. */
  readonly text: string;
  /** It goes on with something that is known only when it runs. */
  readonly open: boolean;
  /** It may become several words, or none. */
  readonly many: boolean;
}

/** A word of which nothing is known. */
export const ANY_WORDS: ShellWord = { text: '', open: true, many: true };

export const literal = (text: string): ShellWord => ({ text, open: false, many: false });

export const isLiteral = ({ open }: ShellWord): boolean => !open;

/** A command's argument; an assignment is what `declare` and its like take. */
export function wordOf(argument: CommandArgument): ShellWord {
  return argument.type === 'Assignment' ? assigned(argument) : partsOf(argument);
}

/** Text that a word surely has; of an assignment's value likewise. */
function assigned({ name, value, text }: Assignment): ShellWord {
  if (value.type !== 'Word') return { text: `${name}=`, open: true, many: false };
  const known = partsOf(value);
  return known.open
    ? { text: `${name}=`, open: true, many: false }
    : literal(text.startsWith(`${name}=`) ? `${name}=${known.text}` : text);
}

function partsOf({ parts, value }: Word): ShellWord {
  if (!parts) return value.startsWith('~') ? { text: '', open: true, many: false } : literal(value);
  let known = '';
  for (const [index, part] of parts.entries()) {
    const added = addedBy(part);
    if (typeof added !== 'string')
      return { text: added.many ? '' : known + added.text, open: true, many: added.many };
    // The user's home, at most.
    if (index === 0 && part.type === 'Literal' && added.startsWith('~'))
      return { text: '', open: true, many: false };
    known += added;
  }
  return literal(known);
}

/** What a part of a word adds: a text, or what is known of a part that is known only when it runs. */
function addedBy(part: WordPart): string | { text: string; many: boolean } {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
    case 'AnsiCQuoted':
      return part.value;
    case 'DoubleQuoted':
    case 'LocaleString':
      return quoted(part.parts);
    case 'ProcessSubstitution':
      return { text: '/dev/fd/', many: false };
    // A pattern becomes the names of files, which begin as it does.
    case 'Glob':
    case 'ExtendedGlob':
      return { text: '', many: false };
    default:
      return { text: '', many: true };
  }
}

function quoted(parts: readonly DoubleQuotedChild[]): string | { text: string; many: boolean } {
  let known = '';
  for (const part of parts) {
    // "$@" and "${list[@]}" are several words.
    if (part.type !== 'Literal') return { text: known, many: part.text.includes('@') };
    known += part.value;
  }
  return known;
}
