import type { Metadata } from 'next';
import Link from 'next/link';
import type { ReactNode } from 'react';

import './globals.css';

export const metadata: Metadata = {
  title: 'Videos through vidgate',
  description: 'A Next.js site that lists, plays and uploads videos through vidgate',
  icons: { icon: 'data:,' },
  referrer: 'no-referrer',
};

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <header className="top">
          <Link className="brand" href="/">
            Next.js + vidgate
          </Link>
          <nav aria-label="Site">
            <Link href="/">Watch</Link>
            <Link href="/upload">Upload</Link>
          </nav>
        </header>
        <main>{children}</main>
      </body>
    </html>
  );
}
