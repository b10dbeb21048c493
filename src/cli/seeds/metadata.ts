import { TaskError } from '../../errors.js';

/** A repeatable `--metadata key=value`. Values are texts; `limitedUntil` is a date, as the leases read it. */
export function collectMetadata(text: string, before: Record<string, unknown> = {}): Record<string, unknown> {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined)
    throw new TaskError('BadInput', `--metadata: expected key=value, got ${JSON.stringify(text)}`);
  return { ...before, [key]: key === 'limitedUntil' ? dateOf(value) : value };
}

function dateOf(text: string): Date {
  const date = new Date(text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new TaskError(
    'BadInput',
    `--metadata limitedUntil: expected a date in ISO 8601, got ${JSON.stringify(text)}`,
  );
}
