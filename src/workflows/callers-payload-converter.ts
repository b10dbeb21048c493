import { defaultPayloadConverter, type PayloadConverter } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';
import { payloadConverter as ours } from '../codec/payload-converter.js';
import { isOurWorkflow } from './is-ours.js';

/** Payload converter of a caller's bundle: an unreadable payload stays an error in the caller's own workflows. */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, ...rest) => ours.toPayload(value, ...rest),
  fromPayload<T>(...[payload, ...rest]: Parameters<PayloadConverter['fromPayload']>): T {
    const converter = isOurWorkflow(workflowInfo().workflowType) ? ours : defaultPayloadConverter;
    return converter.fromPayload<T>(payload, ...(rest as []));
  },
};
