const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Whether a host's name means this host. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

/** Host and port of a proxy's URL, never its login. */
export const proxyHost = (url: string): string =>
  (URL.canParse(url) && new URL(url).host) || 'a URL that cannot be read';

/** What the gRPC client takes a proxy from, in its order; it reads no other spelling. */
const PROXIES_OF_GRPC = ['grpc_proxy', 'https_proxy', 'http_proxy'];

/** Channel arguments by which a server on this host is reached directly: the gRPC client sends loopback to a proxy too. */
export const directToLoopback = (address: string): Record<string, number> =>
  isLoopback(hostOf(address)) ? { 'grpc.enable_http_proxy': 0 } : {};

/** What to add about a Temporal that does not answer where a proxy is in between; empty: none is. */
export function temporalProxyHint(address: string, env: NodeJS.ProcessEnv): string {
  const name = PROXIES_OF_GRPC.find((each) => env[each]);
  const host = hostOf(address);
  const excepted = (env['no_grpc_proxy'] || env['no_proxy'] || '').split(',').filter((each) => each !== '');
  if (name === undefined || isLoopback(host) || excepted.some((each) => host.endsWith(each))) return '';
  return `; it was asked for through the proxy of ${name} (${proxyHost(env[name] ?? '')}): no_proxy=${host} reaches it directly`;
}

/** The proxy of the environment that a program uses for this URL, by its variable; null: none. */
export function proxyFor(url: string, env: Readonly<NodeJS.ProcessEnv>): string | null {
  const scheme = url.startsWith('http:') ? 'HTTP_PROXY' : 'HTTPS_PROXY';
  const names = [scheme, scheme.toLowerCase(), 'ALL_PROXY', 'all_proxy'];
  return names.find((each) => env[each]) ?? null;
}

const hostOf = (address: string): string => address.replace(/^https?:\/\//, '').replace(/:\d+$/, '');
