import {
  DefaultFailureConverter,
  type FailureConverter,
  type PayloadConverter,
  type ProtoFailure,
} from '@temporalio/common';
import { Unreadable } from './unreadable.js';

/**
 * Moves message and stack of a failure, and of its causes, to where a codec encrypts them. Temporal's own does so too,
 * but loses them when one error fails two things.
 */
class EncodingFailureConverter extends DefaultFailureConverter {
  constructor(private readonly encodes: boolean) {
    super({ encodeCommonAttributes: encodes });
  }

  override errorToFailure(...[error, converter, context]: Parameters<FailureConverter['errorToFailure']>) {
    const failure = this.errorToFailureInner(error, converter, context);
    if (!this.encodes || isEncoded(failure)) return failure;
    const { message, stackTrace } = failure;
    const attributes = { message, stack_trace: stackTrace };
    return {
      ...failure,
      message: ENCODED,
      stackTrace: '',
      encodedAttributes: converter.toPayload(attributes, context),
    };
  }

  override failureToError(...[failure, converter, context]: Parameters<FailureConverter['failureToError']>) {
    const why = whyNot(failure, converter);
    if (why === null) return super.failureToError(failure, converter, context);
    const message = `${failure.message ?? ''} (${why})`;
    const { encodedAttributes: _, ...readable } = failure;
    return super.failureToError({ ...readable, message }, converter, context);
  }
}

/** The text in place of the message; so does Temporal's own, and its UI knows it. */
const ENCODED = 'Encoded failure';

const isEncoded = ({ message, encodedAttributes }: ProtoFailure): boolean =>
  message === ENCODED && encodedAttributes != null;

/** Why what is encrypted of a failure cannot be read; null: it can, or nothing is. */
function whyNot({ encodedAttributes }: ProtoFailure, converter: PayloadConverter): string | null {
  if (!encodedAttributes) return null;
  const attributes: unknown = converter.fromPayload(encodedAttributes);
  return attributes instanceof Unreadable ? attributes.why : null;
}

/** @param encodes false: messages and stacks are plain, and encoded ones are read */
export const failuresOf = (encodes: boolean): FailureConverter => new EncodingFailureConverter(encodes);

/** The one of a worker that encrypts; Temporal loads it by the path of this file. */
export const failureConverter = failuresOf(true);
