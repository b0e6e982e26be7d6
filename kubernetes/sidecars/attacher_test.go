package sidecars

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	testing_ "k8s.io/client-go/testing"
)

const (
	driverName = "fake.storage.holdfast"
	// For what comes at once.
	moment = 20 * time.Second
)

// A driver that answers as it is told, and counts.
type driver struct {
	csi.ControllerClient
	publish                   func(context.Context) error
	published, taken, deleted atomic.Int32
	created                   *csi.CreateVolumeResponse
}

func (d *driver) CreateVolume(
	context.Context, *csi.CreateVolumeRequest, ...grpc.CallOption,
) (*csi.CreateVolumeResponse, error) {
	return d.created, nil
}

func (d *driver) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest, ...grpc.CallOption,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	return &csi.ControllerGetCapabilitiesResponse{}, nil
}

func (d *driver) ControllerPublishVolume(
	ctx context.Context, _ *csi.ControllerPublishVolumeRequest, _ ...grpc.CallOption,
) (*csi.ControllerPublishVolumeResponse, error) {
	d.published.Add(1)
	if d.publish != nil {
		if err := d.publish(ctx); err != nil {
			return nil, err
		}
	}
	return &csi.ControllerPublishVolumeResponse{}, nil
}

func (d *driver) ControllerUnpublishVolume(
	context.Context, *csi.ControllerUnpublishVolumeRequest, ...grpc.CallOption,
) (*csi.ControllerUnpublishVolumeResponse, error) {
	d.taken.Add(1)
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}

func (d *driver) DeleteVolume(
	context.Context, *csi.DeleteVolumeRequest, ...grpc.CallOption,
) (*csi.DeleteVolumeResponse, error) {
	d.deleted.Add(1)
	return &csi.DeleteVolumeResponse{}, nil
}

func volumeAndNode() []runtime.Object {
	return []runtime.Object{
		&core.PersistentVolume{
			ObjectMeta: meta.ObjectMeta{Name: "pv"},
			Spec: core.PersistentVolumeSpec{
				AccessModes: []core.PersistentVolumeAccessMode{core.ReadWriteOnce},
				PersistentVolumeSource: core.PersistentVolumeSource{
					CSI: &core.CSIPersistentVolumeSource{Driver: driverName, VolumeHandle: "volume"},
				},
			},
		},
		&storage.CSINode{
			ObjectMeta: meta.ObjectMeta{Name: "node1"},
			Spec:       storage.CSINodeSpec{Drivers: []storage.CSINodeDriver{{Name: driverName, NodeID: "id1"}}},
		},
	}
}

func attachment() *storage.VolumeAttachment {
	name := "pv"
	return &storage.VolumeAttachment{
		ObjectMeta: meta.ObjectMeta{Name: "attachment", UID: "1"},
		Spec: storage.VolumeAttachmentSpec{
			Attacher: driverName, NodeName: "node1", Source: storage.VolumeAttachmentSource{PersistentVolumeName: &name},
		},
	}
}

// An attachment that shall be taken back.
func takenBack() *storage.VolumeAttachment {
	back, now := attachment(), meta.Now()
	back.DeletionTimestamp, back.Finalizers = &now, []string{finalizer}
	back.Status.Attached = true
	return back
}

func storageClass(policy core.PersistentVolumeReclaimPolicy) *storage.StorageClass {
	return &storage.StorageClass{ObjectMeta: meta.ObjectMeta{Name: "class"}, ReclaimPolicy: &policy}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(moment); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come in time", what)
		}
	}
}

func current(t *testing.T, client *fake.Clientset) *storage.VolumeAttachment {
	t.Helper()
	found, err := client.StorageV1().VolumeAttachments().Get(t.Context(), "attachment", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAConflictIsNoFailureOfTheDriver(t *testing.T) {
	client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
	var conflicts, told atomic.Int32
	resource := schema.GroupResource{Group: "storage.k8s.io", Resource: "volumeattachments"}
	client.PrependReactor("update", "volumeattachments", func(action testing_.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() == "status" {
			if action.(testing_.UpdateAction).GetObject().(*storage.VolumeAttachment).Status.AttachError != nil {
				told.Add(1)
			}
			return false, nil, nil
		}
		if conflicts.Add(1) <= 2 {
			return true, nil, apierrors.NewConflict(resource, "attachment", errors.New("it has changed"))
		}
		return false, nil, nil
	})
	go attacher{driver: driverName, csi: &driver{}, client: client, timeout: moment}.run(t.Context())
	until(t, "the attachment", func() bool { return current(t, client).Status.Attached })
	if told.Load() != 0 {
		t.Error("a conflict was told as the driver's failure")
	}
}

func TestWhatFailsIsToldAndTriedAgain(t *testing.T) {
	client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
	busy := &driver{}
	busy.publish = func(context.Context) error {
		if busy.published.Load() < 3 {
			return status.Error(codes.Internal, "no")
		}
		return nil
	}
	go attacher{driver: driverName, csi: busy, client: client, timeout: moment}.run(t.Context())
	until(t, "the error", func() bool { return current(t, client).Status.AttachError != nil })
	until(t, "the attachment", func() bool { return current(t, client).Status.Attached })
}

func TestADriverThatDoesNotAnswerHasSoLong(t *testing.T) {
	client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
	hanging := &driver{publish: func(ctx context.Context) error { <-ctx.Done(); return status.FromContextError(ctx.Err()).Err() }}
	go attacher{driver: driverName, csi: hanging, client: client, timeout: 50 * time.Millisecond}.run(t.Context())
	until(t, "the error", func() bool { return current(t, client).Status.AttachError != nil })
}

func TestThePauseGrowsToItsLimit(t *testing.T) {
	pauses := []time.Duration{}
	for f := (failed{}).again(); len(pauses) < 7; f = f.again() {
		pauses = append(pauses, f.pause)
	}
	for i, pause := range pauses {
		if want := min(retryFirst<<i, attachRetryLast); pause != want {
			t.Errorf("pause %d: %v instead of %v", i, pause, want)
		}
	}
}

func TestThePauseIsForgottenOnceItIsAttached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
		var tries []time.Duration
		left, last := 6, time.Now()
		own := &driver{publish: func(context.Context) error {
			tries = append(tries, time.Since(last))
			last = time.Now()
			if left--; left >= 0 {
				return status.Error(codes.Internal, "no")
			}
			return nil
		}}
		ctx, end := context.WithCancel(t.Context())
		defer end()
		go attacher{driver: driverName, csi: own, client: client, timeout: moment}.run(ctx)
		time.Sleep(moment)
		synctest.Wait()
		// no sooner than the pause is over, and seen by the first look from then on
		want := []time.Duration{look, look, look, 2 * look, 4 * look, 8 * look, attachRetryLast}
		if !slices.Equal(tries, want) {
			t.Errorf("tried after %v instead of %v", tries, want)
		}
		lost := current(t, client)
		if !lost.Status.Attached {
			t.Fatal("it is not attached")
		}
		lost.Status.Attached = false
		left, tries = 2, nil
		if _, err := client.StorageV1().VolumeAttachments().UpdateStatus(ctx, lost, meta.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(moment)
		synctest.Wait()
		if len(tries) != 3 || tries[1] != look || tries[2] != look {
			t.Errorf("tried after %v: the pause before counts still", tries)
		}
	})
}

func TestTheTimeOfADriverIsNotSpentByTheCluster(t *testing.T) {
	client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
	const limit = 200 * time.Millisecond
	client.PrependReactor("get", "persistentvolumes", func(testing_.Action) (bool, runtime.Object, error) {
		time.Sleep(2 * limit) // as where very many are asked for
		return false, nil, nil
	})
	own := &driver{publish: func(ctx context.Context) error { return ctx.Err() }}
	if err := (attacher{driver: driverName, csi: own, client: client, timeout: limit}).settle(t.Context(), attachment()); err != nil {
		t.Errorf("the driver had no time: %v", err)
	}
}

// As external-attacher has it: nobody knows what the driver should take back, which is not forgotten for that.
func TestAnAttachmentWhoseVolumeIsGoneStaysUntilItIsTakenBack(t *testing.T) {
	client := fake.NewSimpleClientset(volumeAndNode()[1], takenBack())
	own := &driver{}
	go attacher{driver: driverName, csi: own, client: client, timeout: moment}.run(t.Context())
	until(t, "the error", func() bool { return current(t, client).Status.DetachError != nil })
	if found := current(t, client); !slices.Contains(found.Finalizers, finalizer) || own.taken.Load() != 0 {
		t.Errorf("finalizers %v, and the driver was asked %d times", found.Finalizers, own.taken.Load())
	}
	volume := volumeAndNode()[0].(*core.PersistentVolume)
	if _, err := client.CoreV1().PersistentVolumes().Create(t.Context(), volume, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool {
		found, err := client.StorageV1().VolumeAttachments().Get(t.Context(), "attachment", meta.GetOptions{})
		return apierrors.IsNotFound(err) || err == nil && len(found.Finalizers) == 0
	})
	if own.taken.Load() != 1 {
		t.Errorf("the driver was asked %d times", own.taken.Load())
	}
}

// The plugin of a node that is lost, or of one whose plugin was killed, is known to no kubelet.
func TestAVolumeIsTakenFromANodeThatHasNoPluginAnyMore(t *testing.T) {
	client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
	own := &driver{}
	go attacher{driver: driverName, csi: own, client: client, timeout: moment}.run(t.Context())
	until(t, "the attachment", func() bool { return current(t, client).Status.Attached })
	if err := client.StorageV1().CSINodes().Delete(t.Context(), "node1", meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	back, now := current(t, client), meta.Now()
	back.DeletionTimestamp = &now
	if _, err := client.StorageV1().VolumeAttachments().Update(t.Context(), back, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return own.taken.Load() == 1 })
}

func TestAVolumeIsNotRemovedWhileSomethingAttachesIt(t *testing.T) {
	objects := append(volumeAndNode(), attachment())
	for _, each := range []struct {
		name     string
		attaches bool
		objects  []runtime.Object
		deleted  int32
	}{
		{"attached", true, objects, 0},
		{"not attached", true, objects[:2], 1},
		{"of a driver that attaches nothing", false, objects, 1},
	} {
		t.Run(each.name, func(t *testing.T) {
			own := &driver{}
			made := provisioner{
				driver: driverName, csi: own, client: fake.NewSimpleClientset(each.objects...), attaches: each.attaches, timeout: moment,
			}
			err := made.Delete(t.Context(), volumeAndNode()[0].(*core.PersistentVolume))
			if own.deleted.Load() != each.deleted || (err == nil) != (each.deleted == 1) {
				t.Errorf("asked %d times to delete it: %v", own.deleted.Load(), err)
			}
		})
	}
}
