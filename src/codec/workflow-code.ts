/** Tells the sandbox of workflow code, which knows no setting, whether to encode its failures. */
const FLAG = 'codexTaskEncodesFailures';

/** Workflow code as a worker takes it that encrypts. The codec encrypts payloads only, and a message is none by itself. */
export const withEncodedFailures = (code: string): string => `globalThis.${FLAG}=true;${code}`;

export const encodesFailures = (): boolean => (globalThis as Record<string, unknown>)[FLAG] === true;
