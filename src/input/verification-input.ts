import * as v from 'valibot';
import type { VerifyPoolInput, VerifySeedInput } from '../contract/verification.js';
import * as is from './checks.js';
import { parse } from './parse.js';

/** @throws TaskError `BadInput` */
export const parseVerifySeed = (value: unknown): VerifySeedInput => parse('input', seedSchema, value);

/** @throws TaskError `BadInput` */
export const parseVerifyPool = (value: unknown): VerifyPoolInput => parse('input', poolSchema, value);

const seedSchema = is.strict<VerifySeedInput>({ seedId: is.name });

const poolSchema = is.strict<VerifyPoolInput>({
  pool: is.name,
  all: v.optional(is.boolean),
  jitterMs: v.optional(is.millisecondsOrZero),
});
