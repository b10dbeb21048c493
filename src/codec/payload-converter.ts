import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { KEY_ID, Unreadable, whyUnreadable } from './unreadable.js';

/**
 * The payload converter of workflow code. A payload that cannot be read is no error there: it would fail the workflow
 * task, which is tried again forever. It comes as `Unreadable`, and whoever takes it in refuses it.
 */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, ...rest) => defaultPayloadConverter.toPayload(value, ...rest),
  fromPayload<T>(...[payload, ...rest]: Parameters<PayloadConverter['fromPayload']>): T {
    try {
      return defaultPayloadConverter.fromPayload<T>(payload, ...(rest as []));
    } catch {
      return new Unreadable(whyUnreadable(metadata(payload, 'encoding'), metadata(payload, KEY_ID))) as T;
    }
  },
};

function metadata({ metadata }: Payload, name: string): string {
  const value = metadata?.[name];
  return value ? new TextDecoder().decode(value) : '';
}
