import type { Context } from 'koa';
import { operatorToken, sameSecret, taskPassword } from '../listener-secret.js';
import { Refusal } from './answer.js';

/**
 * Lets in who has the task's password (Basic, user `optio`, or Bearer) or the operators' token (Bearer). Asked
 * before anything tells whether the task exists.
 * @throws Refusal 401
 */
export function authorize(ctx: Context, secret: string, taskId: string): void {
  const given = credential(ctx.get('authorization'));
  const isTask = given !== null && sameSecret(given.password, taskPassword(secret, taskId));
  if (!isTask && !isOperator(given, secret)) throw unauthorized();
}

/** Lets in who has the operators' token (Bearer). @throws Refusal 401 */
export function authorizeOperator(ctx: Context, secret: string): void {
  if (!isOperator(credential(ctx.get('authorization')), secret)) throw unauthorized();
}

interface Credential {
  readonly scheme: 'basic' | 'bearer';
  readonly password: string;
}

const isOperator = (given: Credential | null, secret: string): boolean =>
  given?.scheme === 'bearer' && sameSecret(given.password, operatorToken(secret));

const unauthorized = () => new Refusal(401, '', { 'WWW-Authenticate': 'Basic realm="codex-task"' });

function credential(header: string): Credential | null {
  const [, scheme, value] = /^(basic|bearer) +(\S+)$/i.exec(header) ?? [];
  if (scheme === undefined || value === undefined) return null;
  if (scheme.toLowerCase() === 'bearer') return { scheme: 'bearer', password: value };
  const [, password] = /^optio:(.*)$/s.exec(Buffer.from(value, 'base64').toString('utf8')) ?? [];
  return password === undefined ? null : { scheme: 'basic', password };
}
