import { Connection } from '@temporalio/client';
import { expect, it } from 'vitest';
import { freePort } from '../../src/dev/free-port.js';
import { retryUntilClosed } from '../../src/client/retry-until-closed.js';

it('cancels a call that waits for its next attempt when its connection is closed', async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const connection = Connection.lazy({ address, interceptors: [retryUntilClosed] });
  // Nobody listens: the first attempt fails at once, and the second is due 100 ms later.
  const call = connection.workflowService.getSystemInfo({});
  const failed = expect(call).rejects.toMatchObject({ code: 1 });
  await untilRefused(connection);
  await connection.close();
  await failed;
});

async function untilRefused(connection: Connection): Promise<void> {
  await connection
    .withDeadline(Date.now() + 50, () => connection.workflowService.getSystemInfo({}))
    .catch(() => undefined);
}
