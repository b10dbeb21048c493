import { expect, test } from 'vitest';
import { reasonOf } from '../src/errors.js';

test.each(['sk-SECRET', '{"a":"sk-SECRET"', '{"a":"sk-SECRET" "b"}', '["sk-SECRET\n"]', '{sk-SECRET}'])(
  'the reason of a JSON fault holds nothing of the text: %j',
  (text) => {
    let reason = '';
    try {
      JSON.parse(text);
    } catch (error) {
      reason = reasonOf(error);
    }
    expect(reason).toMatch(/^no JSON/);
    expect(reason).not.toContain('SECRET');
  },
);

test('the reason of any other error is its text', () => {
  expect(reasonOf(new Error('x JSON'))).toBe('x JSON');
  expect(reasonOf(new SyntaxError('Invalid regular expression'))).toBe('Invalid regular expression');
  expect(reasonOf('x')).toBe('x');
});
