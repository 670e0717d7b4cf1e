import type { Metadata } from 'next';

import { Uploader } from '@/components/Uploader';
import { publicUrl } from '@/lib/server';

export const metadata: Metadata = { title: 'Upload – videos through vidgate' };

// Where vidgate is, is a setting of the running site and not of its build.
export const dynamic = 'force-dynamic';

export default function UploadPage() {
  return <Uploader endpoint={`${publicUrl()}/api/uploads`} />;
}
