/** An auth.json with this refresh token, and an access token that was given out at this second. */
export const issued = (token: string, iat: number): Buffer => {
  const access_token = ['{"alg":"none"}', JSON.stringify({ iat }), '']
    .map((part) => base64url(part))
    .join('.');
  return Buffer.from(JSON.stringify({ tokens: { refresh_token: token, access_token } }));
};

const base64url = (text: string) => Buffer.from(text).toString('base64url');
