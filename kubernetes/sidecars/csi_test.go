package sidecars

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v11/controller"
)

// How long a driver has that does not answer.
const short = 100 * time.Millisecond

// A driver behind a socket. What `hangs` names is never answered; what `asked` says of a try of its capabilities is.
type served struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	hangs   string
	asked   func(ctx context.Context, try int32) error
	tries   atomic.Int32
	deleted atomic.Int32
}

func (s *served) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if s.hangs != "" && strings.HasSuffix(info.FullMethod, "/"+s.hangs) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return next(ctx, request)
}

func (s *served) GetPluginCapabilities(
	context.Context, *csi.GetPluginCapabilitiesRequest,
) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{}, nil
}

func (s *served) ControllerGetCapabilities(
	ctx context.Context, _ *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	if s.asked != nil {
		if err := s.asked(ctx, s.tries.Add(1)); err != nil {
			return nil, err
		}
	}
	return &csi.ControllerGetCapabilitiesResponse{Capabilities: []*csi.ControllerServiceCapability{{
		Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{
			Type: csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME,
		}},
	}}}, nil
}

func (s *served) CreateVolume(context.Context, *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: "volume"}}, nil
}

func (s *served) DeleteVolume(context.Context, *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	s.deleted.Add(1)
	return &csi.DeleteVolumeResponse{}, nil
}

func (s *served) ControllerPublishVolume(
	context.Context, *csi.ControllerPublishVolumeRequest,
) (*csi.ControllerPublishVolumeResponse, error) {
	return &csi.ControllerPublishVolumeResponse{}, nil
}

func (s *served) ControllerUnpublishVolume(
	context.Context, *csi.ControllerUnpublishVolumeRequest,
) (*csi.ControllerUnpublishVolumeResponse, error) {
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}

// Serves a driver until the test ends; how it is reached.
func (s *served) connection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "csi #1?%.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	csi.RegisterIdentityServer(server, s)
	csi.RegisterControllerServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := connect(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func TestADriverIsAskedWhatItCanUntilItSays(t *testing.T) {
	for _, each := range []struct {
		name  string
		asked func(ctx context.Context, try int32) error
		said  string
	}{
		{"at once", nil, ""},
		{"unavailable", failsTwice(codes.Unavailable), "code = Unavailable"},
		// external-provisioner ends then, and its kubelet starts it anew; nobody starts ours
		{"final", failsTwice(codes.Unimplemented), "code = Unimplemented"},
		{"too late", func(ctx context.Context, try int32) error {
			if try < 3 {
				<-ctx.Done()
			}
			return nil
		}, "code = DeadlineExceeded"},
	} {
		t.Run(each.name, func(t *testing.T) {
			limit, cancel := context.WithTimeout(t.Context(), moment)
			defer cancel()
			said := &bytes.Buffer{}
			own := &served{asked: each.asked}
			_, attaches, err := learn(limit, own.connection(t), short, said)
			if err != nil || !attaches {
				t.Errorf("attaches: %v, %v", attaches, err)
			}
			lines := slices.DeleteFunc(strings.Split(said.String(), "\n"), func(line string) bool { return line == "" })
			if (len(lines) > 0) != (each.said != "") {
				t.Errorf("said %q", said)
			}
			for i, line := range lines { // a deadline has several wordings
				if !strings.Contains(line, each.said) || slices.Contains(lines[:i], line) {
					t.Errorf("said %q", said)
				}
			}
		})
	}
}

func failsTwice(code codes.Code) func(context.Context, int32) error {
	return func(_ context.Context, try int32) error {
		if try < 3 {
			return status.Error(code, "not yet")
		}
		return nil
	}
}

func TestThePauseOfADriverThatComesUpGrowsToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tries = 10
		asked, last := -1, time.Now()
		err := untilAnswered(t.Context(), &bytes.Buffer{}, func() error {
			if asked++; asked > 0 {
				if pause, want := time.Since(last), min(retryFirst<<(asked-1), retryLast); pause != want {
					t.Errorf("try %d came after %v instead of %v", asked, pause, want)
				}
			}
			last = time.Now()
			if asked < tries {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || asked != tries {
			t.Errorf("asked again %d times: %v", asked, err)
		}
	})
}

func TestNobodyIsAskedWhereNobodyWaits(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	if err := untilAnswered(ended, &bytes.Buffer{}, func() error { return errors.New("no") }); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}

// Each call to the driver has its time, whatever it is.
func TestACallThatIsNotAnsweredEnds(t *testing.T) {
	filled, policy := meta.ObjectMeta{Name: "pv"}, core.PersistentVolumeReclaimDelete
	options := controller.ProvisionOptions{PVName: filled.Name, PVC: &core.PersistentVolumeClaim{
		Spec: core.PersistentVolumeClaimSpec{
			AccessModes: []core.PersistentVolumeAccessMode{core.ReadWriteOnce},
			Resources: core.VolumeResourceRequirements{
				Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Mi")},
			},
		},
	}, StorageClass: storageClass(policy)}
	provision := func(ctx context.Context, p provisioner, _ attacher) error {
		_, _, err := p.Provision(ctx, options)
		return err
	}
	for _, each := range []struct {
		hangs string
		does  func(context.Context, provisioner, attacher) error
	}{
		{"ControllerGetCapabilities", provision},
		{"CreateVolume", provision},
		{"DeleteVolume", func(ctx context.Context, p provisioner, _ attacher) error {
			return p.Delete(ctx, volumeAndNode()[0].(*core.PersistentVolume))
		}},
		{"ControllerGetCapabilities", func(ctx context.Context, _ provisioner, a attacher) error {
			return a.settle(ctx, attachment())
		}},
		{"ControllerPublishVolume", func(ctx context.Context, _ provisioner, a attacher) error {
			return a.settle(ctx, attachment())
		}},
		{"ControllerUnpublishVolume", func(ctx context.Context, _ provisioner, a attacher) error {
			return a.settle(ctx, takenBack())
		}},
	} {
		t.Run(each.hangs, func(t *testing.T) {
			asked := csi.NewControllerClient((&served{hangs: each.hangs}).connection(t))
			client := fake.NewSimpleClientset(append(volumeAndNode(), attachment())...)
			limit, cancel := context.WithTimeout(t.Context(), moment)
			defer cancel()
			err := each.does(
				limit,
				provisioner{driver: driverName, csi: asked, client: client, timeout: short},
				attacher{driver: driverName, csi: asked, client: client, timeout: short},
			)
			if status.Code(err) != codes.DeadlineExceeded || limit.Err() != nil {
				t.Errorf("it ended with %v, and the test's own time with %v", err, limit.Err())
			}
		})
	}
}

func TestAReleasedVolumeIsRemovedOnceNothingAttachesIt(t *testing.T) {
	volume := volumeAndNode()[0].(*core.PersistentVolume)
	volume.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": driverName}
	volume.Spec.PersistentVolumeReclaimPolicy = core.PersistentVolumeReclaimDelete
	volume.Spec.ClaimRef = &core.ObjectReference{Namespace: "default", Name: "claim"}
	volume.Status.Phase = core.VolumeReleased
	client := fake.NewSimpleClientset(volume, attachment())
	own := &served{}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go provisioner{
		driver: driverName, csi: csi.NewControllerClient(own.connection(t)), client: client, attaches: true, timeout: moment,
	}.run(ctx)
	until(t, "the event that says why", func() bool {
		events, err := client.CoreV1().Events("").List(ctx, meta.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			if event.Reason == "VolumeFailedDelete" && event.Message == "persistentvolume pv is still attached to node node1" {
				return true
			}
		}
		return false
	})
	if own.deleted.Load() != 0 {
		t.Fatal("the driver was asked while it is attached")
	}
	if err := client.StorageV1().VolumeAttachments().Delete(ctx, "attachment", meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "its removal", func() bool { return own.deleted.Load() == 1 })
}

func TestAnAnswerWithoutAVolumeIsNone(t *testing.T) {
	for _, answer := range []*csi.CreateVolumeResponse{nil, {}, {Volume: &csi.Volume{}}, {Volume: &csi.Volume{CapacityBytes: 8}}} {
		made := provisioner{driver: driverName, csi: &driver{created: answer}, client: fake.NewSimpleClientset(), timeout: moment}
		options := controller.ProvisionOptions{
			PVName: "pv", StorageClass: storageClass(core.PersistentVolumeReclaimDelete), PVC: &core.PersistentVolumeClaim{},
		}
		options.PVC.Spec.AccessModes = []core.PersistentVolumeAccessMode{core.ReadWriteOnce}
		volume, state, err := made.Provision(t.Context(), options)
		if volume != nil || state != controller.ProvisioningFinished || err == nil {
			t.Errorf("%v: %v, %v, %v", answer, volume, state, err)
		}
	}
}
