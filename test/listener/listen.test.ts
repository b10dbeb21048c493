import Koa from 'koa';
import { expect, test } from 'vitest';
import { listen } from '../../src/listener/listen.js';

test('errors of a listening server are logged and end nothing', async () => {
  const app = new Koa();
  const told: unknown[] = [];
  app.on('error', (error) => told.push(error));
  app.use((ctx) => void (ctx.body = 'here'));
  const listening = await listen(app, { host: '127.0.0.1', port: 0 });
  const { server, port } = listening;
  const errors = [new Error('EMFILE'), new Error('EMFILE')];
  for (const error of errors) server.emit('error', error);
  expect(told).toEqual(errors);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('here');
  await listening.close();
});
