import type { NextConfig } from 'next';

const config: NextConfig = {
  poweredByHeader: false,
  // This project stands beside others that have lock files of their own.
  outputFileTracingRoot: import.meta.dirname,
};

export default config;
