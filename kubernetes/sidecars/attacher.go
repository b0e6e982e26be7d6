package sidecars

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const finalizer = "external-attacher/holdfast"

// Where an attachment says what the driver calls its node: by the time it is taken back no kubelet may know the driver.
const nodeNote = "holdfast.dev/node-id"

const (
	// From one look at what is to be attached to the next.
	look = 200 * time.Millisecond
	// From one try of an attachment that failed to the next, at last.
	attachRetryLast = 2 * time.Second
)

// What is asked for an attachment, which fails on its own: to be made, or to be taken back.
type asked struct {
	attachment types.UID
	back       bool
}

// What failed is tried again, after a pause that grows.
type failed struct {
	pause time.Duration
	until time.Time
}

// An attacher does what VolumeAttachments ask for, as external-attacher does. Each is asked for on its own: one node
// whose volume does not come off holds up no other.
type attacher struct {
	driver string
	csi    csi.ControllerClient
	client kubernetes.Interface
	// For one call to the driver.
	timeout time.Duration
}

func (a attacher) run(ctx context.Context) {
	var underWay, failures sync.Map
	for ticker := time.NewTicker(look); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		all, err := a.client.StorageV1().VolumeAttachments().List(ctx, meta.ListOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		for i := range all.Items {
			attachment := &all.Items[i]
			done := attachment.Status.Attached && attachment.DeletionTimestamp == nil
			if attachment.Spec.Attacher != a.driver || attachment.Spec.Source.PersistentVolumeName == nil || done {
				continue
			}
			if _, already := underWay.LoadOrStore(attachment.UID, true); already {
				continue
			}
			what := asked{attachment: attachment.UID, back: attachment.DeletionTimestamp != nil}
			// of one that ended since the last look it is known by now how
			before, _ := failures.Load(what)
			last, _ := before.(failed)
			if time.Now().Before(last.until) {
				underWay.Delete(attachment.UID)
				continue
			}
			go func() {
				defer underWay.Delete(attachment.UID)
				err := a.settle(ctx, attachment)
				switch {
				case err == nil:
					failures.Delete(what)
				case isNews(err): // the next look has it as it is
				default:
					fmt.Fprintln(os.Stderr, attachment.Name, attachment.Spec.NodeName, err)
					a.tell(ctx, attachment, err)
					failures.Store(what, last.again())
				}
			}()
		}
	}
}

// What has failed once more.
func (f failed) again() failed {
	pause := min(max(2*f.pause, retryFirst), attachRetryLast)
	return failed{pause: pause, until: time.Now().Add(pause)}
}

// Whether an attachment is another by now than the one that was settled, or is gone: no driver has failed.
func isNews(err error) bool {
	return isOf(err, "volumeattachments") && (apierrors.IsConflict(err) || apierrors.IsNotFound(err))
}

// Whether the API answered so of such a resource.
func isOf(err error, resource string) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == resource
}

func (a attacher) settle(ctx context.Context, attachment *storage.VolumeAttachment) error {
	attachments := a.client.StorageV1().VolumeAttachments()
	ours := slices.Contains(attachment.Finalizers, finalizer)
	if attachment.DeletionTimestamp != nil && !ours {
		return nil
	}
	volume, err := a.client.CoreV1().PersistentVolumes().Get(ctx, *attachment.Spec.Source.PersistentVolumeName, meta.GetOptions{})
	if err != nil {
		return err
	}
	if volume.Spec.CSI == nil {
		return fmt.Errorf("%s is no volume of a CSI driver", volume.Name)
	}
	node := attachment.Annotations[nodeNote]
	if node == "" || attachment.DeletionTimestamp == nil {
		if node, err = a.nodeID(ctx, attachment.Spec.NodeName); err != nil {
			return err
		}
	}
	if attachment.DeletionTimestamp != nil {
		if _, err := ask(ctx, a.timeout, a.csi.ControllerUnpublishVolume, &csi.ControllerUnpublishVolumeRequest{
			VolumeId: volume.Spec.CSI.VolumeHandle, NodeId: node,
		}); err != nil {
			return err
		}
		attachment.Finalizers = slices.DeleteFunc(attachment.Finalizers, func(each string) bool { return each == finalizer })
		_, err = attachments.Update(ctx, attachment, meta.UpdateOptions{})
		return err
	}
	if !ours || attachment.Annotations[nodeNote] != node {
		if !ours {
			attachment.Finalizers = append(attachment.Finalizers, finalizer)
		}
		meta.SetMetaDataAnnotation(&attachment.ObjectMeta, nodeNote, node)
		if attachment, err = attachments.Update(ctx, attachment, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	block := volume.Spec.VolumeMode != nil && *volume.Spec.VolumeMode == core.PersistentVolumeBlock
	// as external-attacher has it: it would not know which of the two to ask for
	modes := volume.Spec.AccessModes
	if slices.Contains(modes, core.ReadOnlyMany) && slices.Contains(modes, core.ReadWriteOnce) {
		return errors.New("CSI does not support ReadOnlyMany and ReadWriteOnce on the same PersistentVolume")
	}
	single, err := singleWriter(ctx, a.csi, a.timeout)
	if err != nil {
		return err
	}
	source := volume.Spec.CSI
	wanted := capabilities(modes[:1], single, block, source.FSType, volume.Spec.MountOptions)[0]
	answer, err := ask(ctx, a.timeout, a.csi.ControllerPublishVolume, &csi.ControllerPublishVolumeRequest{
		VolumeId: source.VolumeHandle, NodeId: node, VolumeCapability: wanted, VolumeContext: source.VolumeAttributes,
	})
	if err != nil {
		return err
	}
	attachment.Status = storage.VolumeAttachmentStatus{Attached: true, AttachmentMetadata: answer.PublishContext}
	_, err = attachments.UpdateStatus(ctx, attachment, meta.UpdateOptions{})
	return err
}

// The driver's own name for a node.
func (a attacher) nodeID(ctx context.Context, name string) (string, error) {
	known, err := a.client.StorageV1().CSINodes().Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, driver := range known.Spec.Drivers {
		if driver.Name == a.driver {
			return driver.NodeID, nil
		}
	}
	return "", fmt.Errorf("%s has no plugin of %s", name, a.driver)
}

// Says in the attachment why it is not as it was asked to be: the kubelet's events repeat it.
func (a attacher) tell(ctx context.Context, attachment *storage.VolumeAttachment, why error) {
	attachments := a.client.StorageV1().VolumeAttachments()
	current, err := attachments.Get(ctx, attachment.Name, meta.GetOptions{})
	if err != nil {
		return
	}
	said := &storage.VolumeError{Time: meta.Now(), Message: why.Error()}
	if current.DeletionTimestamp != nil {
		current.Status.DetachError = said
	} else {
		current.Status.AttachError = said
	}
	if _, err := attachments.UpdateStatus(ctx, current, meta.UpdateOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, attachment.Name, err)
	}
}
