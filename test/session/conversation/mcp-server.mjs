// A tiny MCP server on stdio: the tool `note` answers at once, the tool `ask` first asks the user by elicitation.
import { createInterface } from 'node:readline';

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const say = (id, text) => send({ id, result: { content: [{ type: 'text', text }] } });
const tool = (name) => ({ name, description: name, inputSchema: { type: 'object', properties: {} } });
const QUESTION = {
  message: 'Which colour?',
  requestedSchema: { type: 'object', properties: { colour: { type: 'string' } }, required: ['colour'] },
};
let call;

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params, result } = JSON.parse(line);
  if (method === 'initialize')
    send({
      id,
      result: {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: 'notes', version: '1' },
      },
    });
  else if (method === 'tools/list') send({ id, result: { tools: [tool('note'), tool('ask')] } });
  else if (method === 'tools/call' && params.name === 'note') say(id, 'noted');
  else if (method === 'tools/call') {
    call = id;
    send({ id: 'q1', method: 'elicitation/create', params: QUESTION });
  } else if (id === 'q1') say(call, `answered ${JSON.stringify(result)}`);
  else if (id !== undefined) send({ id, result: {} });
});
