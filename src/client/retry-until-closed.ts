import {
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor,
  type ConnectionOptions,
} from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];
type Call = ReturnType<Interceptor>;

const retry = makeGrpcRetryInterceptor(defaultGrpcRetryOptions());

/**
 * Makes a connection's calls again as Temporal's client does by default, but for a call whose next attempt is due after
 * the connection was closed: that one is cancelled. The client's own retry begins it in a timer, where grpc-js throws
 * `Channel has been shut down`, which ends the process (@temporalio/client 1.24.0, lib/grpc-retry.js).
 */
export const retryUntilClosed: Interceptor = (options, nextCall) => {
  let isFirst = true;
  return retry(options, (again) => {
    if (isFirst) {
      isFirst = false;
      return nextCall(again);
    }
    try {
      return nextCall(again);
    } catch (error) {
      return cancelledCall(String(error));
    }
  });
};

const CANCELLED = 1;

/** Only what the retry uses of a call: it has no wire. */
function cancelledCall(details: string): Call {
  const call: Pick<Call, 'start' | 'sendMessage' | 'halfClose'> = {
    start: (metadata, listener) => listener?.onReceiveStatus?.({ code: CANCELLED, details, metadata }),
    sendMessage: () => undefined,
    halfClose: () => undefined,
  };
  return call as Call;
}
